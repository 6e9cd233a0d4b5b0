/** An HBONE client of the test's own: what it sends and shows is decided by the questions on its standard input. */
import { connect as connectHttp2 } from 'node:http2';
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import { connect as connectTls } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';

import { announced, answerQuestions, textHeaders } from './answering.ts';
import type { Headers, Material, Question, Reply } from './messages.ts';

interface Tunnel {
  readonly session: ClientHttp2Session;
  readonly goaway: Promise<number>;
  readonly closed: Promise<unknown>;
}

interface Stream {
  readonly stream: ClientHttp2Stream;
  received: string;
  end: 'open' | 'end' | 'reset';
}

const tunnels: Tunnel[] = [];
const streams: Stream[] = [];
const patience = 8_000;

function within<T>(what: string, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`${what}: nothing within ${patience} ms`));
    }, patience);
    void promise.then(resolve, reject).finally(() => {
      clearTimeout(timer);
    });
  });
}

function handshake(options: ConnectionOptions): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connectTls(options, () => {
      resolve(socket);
    });
    socket.once('error', reject);
    socket.once('close', () => {
      reject(new Error('closed during the handshake'));
    });
  });
}

async function open(question: Question): Promise<Reply> {
  const { address, port, alpn, maxVersion } = question as unknown as {
    readonly address: string;
    readonly port: number;
    readonly alpn: readonly string[];
    readonly maxVersion: 'TLSv1.2' | 'TLSv1.3';
  };
  const material = question['material'] as Material | null;
  const keys = material === null ? {} : { cert: material.certificate, key: material.key, ca: material.roots };
  const socket = await within(
    'the TLS handshake',
    handshake({
      ...keys,
      host: address,
      port,
      ALPNProtocols: [...alpn],
      maxVersion,
      minVersion: 'TLSv1.2',
      // The name is in a URI, which Node does not compare; the test does.
      checkServerIdentity: () => undefined,
    }),
  );
  const tls = {
    version: socket.getProtocol(),
    alpn: socket.alpnProtocol,
    trusted: socket.authorized,
    names: socket.getPeerCertificate().subjectaltname ?? '',
  };
  return { ...tls, ...(await startSession(socket)) };
}

async function startSession(socket: TLSSocket): Promise<Reply> {
  const session = connectHttp2('https://tunnel', { createConnection: () => socket });
  const goaway = new Promise<number>((resolve) => {
    session.once('goaway', resolve);
  });
  const closed = new Promise<unknown>((resolve) => {
    session.once('close', () => {
      resolve(null);
    });
  });
  session.on('error', () => undefined); // each question tells its own failure
  const settled = new Promise<void>((resolve, reject) => {
    session.once('remoteSettings', () => {
      resolve();
    });
    void closed.then(() => {
      reject(new Error('closed before SETTINGS'));
    });
  });
  await within('SETTINGS', settled);
  // A PING's answer comes after whatever was sent before it, the WINDOW_UPDATE of the connection included.
  await ping(session);
  tunnels.push({ session, goaway, closed });
  return { tunnel: tunnels.length - 1, settings: announced(session) };
}

function ping(session: ClientHttp2Session): Promise<number> {
  const answered = new Promise<number>((resolve, reject) => {
    session.ping((error: Error | null, duration: number) => {
      if (error === null) resolve(duration);
      else reject(error);
    });
  });
  return within('the answer to PING', answered);
}

function tunnelOf(question: Question): Tunnel {
  const tunnel = tunnels[question['tunnel'] as number];
  if (tunnel === undefined) throw new Error('no such tunnel');
  return tunnel;
}

function streamOf(question: Question): Stream {
  const stream = streams[question['stream'] as number];
  if (stream === undefined) throw new Error('no such stream');
  return stream;
}

async function request(question: Question): Promise<Reply> {
  const { session } = tunnelOf(question);
  const stream = session.request(question['headers'] as Headers, { endStream: question['endStream'] === true });
  const entry: Stream = { stream, received: '', end: 'open' };
  const response = new Promise<Headers>((resolve, reject) => {
    stream.once('response', (headers) => {
      resolve(textHeaders(headers));
    });
    stream.once('error', reject);
    stream.once('close', () => {
      reject(new Error(`the stream closed with code ${stream.rstCode}`));
    });
  });
  stream.setEncoding('utf8').on('data', (text: string) => (entry.received += text));
  stream.once('end', () => {
    if (entry.end === 'open') entry.end = 'end';
  });
  stream.on('error', () => (entry.end = 'reset'));
  stream.once('aborted', () => (entry.end = 'reset'));
  const headers = await within('the response', response);
  streams.push(entry);
  return { stream: streams.length - 1, status: Number(headers[':status']), headers };
}

/** Resolves when so many characters are there, or no more can come. */
function untilReceived(entry: Stream, count: number): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (entry.received.length >= count || entry.end !== 'open') resolve();
    };
    entry.stream.on('data', look).on('end', look).on('error', look).on('aborted', look).on('close', look);
    look();
  });
}

async function exchange(question: Question): Promise<Reply> {
  const entry = streamOf(question);
  const text = question['text'] as string;
  const before = entry.received.length;
  entry.stream.write(text);
  await within('the answer', untilReceived(entry, before + text.length));
  return { text: entry.received.slice(before), end: entry.end };
}

function finish(question: Question): Reply {
  streamOf(question).stream.end();
  return {};
}

async function toEnd(question: Question): Promise<Reply> {
  const entry = streamOf(question);
  await within('the end', untilReceived(entry, Infinity));
  return { text: entry.received, end: entry.end, code: entry.stream.rstCode };
}

answerQuestions({
  open,
  request,
  exchange,
  finish,
  toEnd,
  send: (question) => ({ taken: streamOf(question).stream.write(question['text']) }),
  ping: async (question) => ({ milliseconds: await ping(tunnelOf(question).session) }),
  goaway: async (question) => ({ code: await within('GOAWAY', tunnelOf(question).goaway) }),
  closed: async (question) => ({ closed: (await within('the end of the tunnel', tunnelOf(question).closed)) === null }),
});
