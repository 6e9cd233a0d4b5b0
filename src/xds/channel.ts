import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { createSecureContext, rootCertificates } from 'node:tls';
import { Client, credentials, Metadata, status } from '@grpc/grpc-js';
import type { ChannelOptions } from '@grpc/grpc-js';
import type { Header } from '../config/control-credentials.ts';
import { AmbitError } from '../config/errors.ts';
import type { ControlEndpoint } from '../config/setting-parsers.ts';
import { AddressCredentials } from './address-credentials.ts';

/** How to get there, and how to prove who we are. Both files are read anew for each use. */
export interface ControlAccess {
  readonly endpoint: ControlEndpoint;
  /** A file of PEM, or PEM itself; `SYSTEM`: the roots of the runtime; null: without TLS. */
  readonly rootFile: string | null;
  /** null: no token is sent, unless `token` is one. */
  readonly tokenFile: string | null;
  /** Goes before the file. */
  readonly token: string | null;
  /** Sent with each call; never shown. */
  readonly headers: readonly Header[];
  /** Name in the server's certificate where it is not the host's. */
  readonly serverName: string | null;
  readonly clusterId: string;
}

/** ztunnel's limit: a first push of a large mesh is one message. */
const LONGEST_MESSAGE = 200 * 1024 * 1024;
const KEEPALIVE = { time: 30_000, timeout: 10_000 };
/** A token is a few kilobytes; what is larger is another file. */
const LONGEST_TOKEN = 64 * 1024;

const channelOptions: ChannelOptions = {
  'grpc.max_receive_message_length': LONGEST_MESSAGE,
  'grpc.max_send_message_length': LONGEST_MESSAGE,
  'grpc.keepalive_time_ms': KEEPALIVE.time,
  'grpc.keepalive_timeout_ms': KEEPALIVE.timeout,
  'grpc.keepalive_permit_without_calls': 0,
  // Every channel is one connection of its own, which a changed root must be able to end.
  'grpc.use_local_subchannel_pool': 1,
  // Its registry keeps every channel that ever was.
  'grpc.enable_channelz': 0,
  'grpc.enable_retries': 0,
  // The way to the control plane is not the way to the world.
  'grpc.enable_http_proxy': 0,
};

/** PEM of the roots. @throws AmbitError `CONTROL_ROOT_UNREADABLE` */
export async function readRoots({ rootFile }: Pick<ControlAccess, 'rootFile'>): Promise<string> {
  if (rootFile === null) return '';
  if (rootFile === 'SYSTEM') return rootCertificates.join('\n');
  if (isPem(rootFile)) return rootFile;
  return readText(rootFile, 'CONTROL_ROOT_UNREADABLE', 'the root certificates of the control plane (--root-file)');
}

/** The roots are given themselves, and not a file that could change. */
export function isPem(rootFile: string): boolean {
  return rootFile.includes('-----BEGIN CERTIFICATE-----');
}

/** A channel that trusts these roots and no others. It connects with its first call. */
export function openChannel({ endpoint, serverName }: ControlAccess, roots: string): Client {
  const named = serverName === null ? {} : { 'grpc.ssl_target_name_override': serverName };
  const options = { ...channelOptions, ...named };
  if (!endpoint.tls) return new Client(endpoint.target, credentials.createInsecure(), options);
  const context = createSecureContext({ ca: roots, minVersion: 'TLSv1.2' });
  const host = endpoint.target.slice(0, endpoint.target.lastIndexOf(':')).replace(/^\[|\]$/g, '');
  const byAddress = serverName === null && isIP(host) !== 0;
  const secure = byAddress ? new AddressCredentials(host, context) : credentials.createFromSecureContext(context);
  return new Client(endpoint.target, secure, options);
}

/** Headers of a call. @throws AmbitError `CONTROL_TOKEN_UNREADABLE` */
export async function callMetadata({ tokenFile, token: given, clusterId, headers }: ControlAccess): Promise<Metadata> {
  const metadata = new Metadata();
  for (const [name, value] of headers) metadata.set(name, value);
  metadata.set('clusterid', clusterId);
  if (given !== null) metadata.set('authorization', `Bearer ${given}`);
  if (given !== null || tokenFile === null) return metadata;
  const token = await readText(tokenFile, 'CONTROL_TOKEN_UNREADABLE', 'the token (--token-file)');
  const trimmed = token.trim();
  // A line break would start another header, and the error that refuses it would quote the token.
  if (!/^[\x21-\x7e]+$/.test(trimmed)) throw notAToken(tokenFile);
  metadata.set('authorization', `Bearer ${trimmed}`);
  return metadata;
}

/** What ended a call, for an operator. */
export function describeCallError(error: unknown, { endpoint, tokenFile, token, rootFile }: ControlAccess): unknown {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : null;
  if (code === status.UNAVAILABLE) {
    const hint = endpoint.tls ? `is it running, and does ${describeRoots(rootFile)} hold its root?` : 'is it running?';
    return new AmbitError('CONTROL_UNREACHABLE', `${endpoint.target} does not answer: ${hint}`, { cause: error });
  }
  if (code === status.UNAUTHENTICATED || code === status.PERMISSION_DENIED) {
    const hint = `is the token of ${token === null ? (tokenFile ?? 'no file') : 'AUTH_TOKEN'} this node's, and still good?`;
    return new AmbitError('CONTROL_REFUSED', `${endpoint.target} refuses this node: ${hint}`, { cause: error });
  }
  return error;
}

function describeRoots(rootFile: string | null): string {
  return rootFile !== null && isPem(rootFile) ? 'the PEM that was given' : String(rootFile);
}

function notAToken(file: string): AmbitError {
  return new AmbitError(
    'CONTROL_TOKEN_UNREADABLE',
    `${file} holds no token: it must be one line of visible characters`,
  );
}

async function readText(file: string, code: string, what: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw new AmbitError(code, `${what} cannot be read: ${file}`, { cause });
  }
  if (text.trim() === '' || (code === 'CONTROL_TOKEN_UNREADABLE' && text.length > LONGEST_TOKEN)) {
    throw new AmbitError(code, `${what} is empty or too long: ${file}`);
  }
  return text;
}
