import { availableParallelism } from 'node:os';
import { canonicalAddress } from '../model/address.ts';
import { parseDuration } from './durations.ts';

export type Parsed<Value> =
  | { readonly ok: true; readonly value: Value }
  /** What is allowed, to follow "is not". */
  | { readonly ok: false; readonly expected: string };

export type Parser<Value> = (text: string) => Parsed<Value>;

/** Where the control plane or the CA is. */
export interface ControlEndpoint {
  /** `host:port`. */
  readonly target: string;
  /** False only for loopback: a token is never sent over a wire in clear text. */
  readonly tls: boolean;
}

const maximumThreads = 4;
const minute = 60_000;
const day = 86_400_000;
/** setTimeout fires at once beyond 2^31 - 1 ms. */
const longestWait = day;

/** A node's name is part of paths in the kernel's file system, so it must be the DNS name that Kubernetes demands. */
export const nodeName: Parser<string> = (text) =>
  /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(text) && !text.includes('..')
    ? accept(text)
    : refuse('a node name: lower-case letters, digits, `-` and `.`, at most 253');

export const path: Parser<string> = (text) => (text.includes('\0') ? refuse('a path') : accept(text));

export const absolutePath: Parser<string> = (text) =>
  text.startsWith('/') && !text.includes('\0') ? accept(text) : refuse('an absolute path');

/** Relative to the cgroup mount; a leading slash, as in /proc/self/cgroup, is let pass. */
export const relativeFolder: Parser<string> = (text) => {
  const relative = text.replace(/^\/+|\/+$/g, '');
  const segments = relative.split('/');
  const wrong = relative === '' || segments.some((segment) => segment === '..' || segment === '.' || segment === '');
  return wrong || text.includes('\0')
    ? refuse('a cgroup path without `.` and `..`, such as kubepods.slice')
    : accept(relative);
};

export const threadCount: Parser<number> = (text) => {
  const threads = integer(text, maximumThreads);
  if (threads === null) return refuse(`a whole number from 0 to ${maximumThreads}`);
  return accept(threads === 0 ? Math.min(availableParallelism(), maximumThreads) : threads);
};

export const port: Parser<number> = (text) => {
  const value = integer(text, 65535);
  return value === null ? refuse('a port from 0 to 65535') : accept(value);
};

export const accessLogTarget: Parser<string> = (text) =>
  text === 'stdout' || text === 'off' || text.startsWith('/')
    ? accept(text)
    : refuse('`stdout`, `off` or the absolute path of a file');

export const certificateLifetime: Parser<number> = durationBetween(minute, 7 * day, 'a time from 1m to 7d');

export const keptAge: Parser<number> = durationBetween(minute, 7 * day, 'a time from 1m to 7d');

/** A time that somebody waits, at least so many milliseconds. */
export function waitingTime(minimum: number): Parser<number> {
  return durationBetween(minimum, longestWait, `a time such as 500ms, 5s or 1m30s, from ${minimum}ms to 24h`);
}

/** `host:port` or `https://host:port`; `http://` only to this machine, for whoever listens would have the token. */
export const controlEndpoint: Parser<ControlEndpoint> = (text) => {
  const [, scheme = 'https', host = '', digits = ''] =
    /^(?:(https?):\/\/)?(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):(\d{1,5})\/?$/.exec(text) ?? [];
  const loopback = host === 'localhost' || host === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(host);
  const portNumber = integer(digits, 65535) ?? 0;
  if (host === '' || portNumber === 0 || (scheme === 'http' && !loopback)) {
    return refuse('HOST:PORT, https://HOST:PORT, or http://HOST:PORT of this machine alone');
  }
  return accept({ target: `${host}:${portNumber}`, tls: scheme === 'https' });
};

/** As a proxy such as `kubectl proxy` gives it to this machine: without a token, so never over a wire. */
export const apiServer: Parser<string> = (text) =>
  /^http:\/\/(localhost|127\.\d+\.\d+\.\d+|\[::1\]):\d{1,5}\/?$/.test(text)
    ? accept(text)
    : refuse('http://HOST:PORT of this machine');

/** Of DNS: `192.0.2.1`, `192.0.2.1:5353`, `[2001:db8::1]:5353`. */
export const nameServers: Parser<readonly string[]> = (text) => {
  const servers = text.split(',').map((server) => server.trim());
  const isServer = (server: string): boolean => {
    const [, bracketed, plain, digits = '53'] = /^(?:\[([^\]]+)\]|([\d.]+))(?::(\d{1,5}))?$/.exec(server) ?? [];
    return canonicalAddress(bracketed ?? plain ?? server) !== null && (integer(digits, 65535) ?? 0) > 0;
  };
  return servers.every(isServer) ? accept(servers) : refuse('addresses by commas, each as ADDRESS or ADDRESS:PORT');
};

export const switchedOn: Parser<boolean> = (text) =>
  text === 'true' || text === 'false' ? accept(text === 'true') : refuse('true or false');

export function pattern(expression: { readonly test: (text: string) => boolean }, expected: string): Parser<string> {
  return (text) => (expression.test(text) ? accept(text) : refuse(expected));
}

export function oneOf<const Value extends string>(...values: readonly Value[]): Parser<Value> {
  return (text) => {
    const found = values.find((value) => value === text);
    return found === undefined ? refuse(`one of ${values.join(', ')}`) : accept(found);
  };
}

function durationBetween(minimum: number, maximum: number, expected: string): Parser<number> {
  return (text) => {
    const value = parseDuration(text);
    return value === null || value < minimum || value > maximum ? refuse(expected) : accept(value);
  };
}

function integer(text: string, maximum: number): number | null {
  return /^\d{1,9}$/.test(text) && Number(text) <= maximum ? Number(text) : null;
}

function accept<Value>(value: Value): Parsed<Value> {
  return { ok: true, value };
}

function refuse(expected: string): { readonly ok: false; readonly expected: string } {
  return { ok: false, expected };
}
