import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import type { Socket } from 'node:net';
import { text } from 'node:stream/consumers';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** Of HTTP/2: what comes after the body, as the status of gRPC does. */
  readonly trailers: IncomingHttpHeaders;
}

export interface Asked {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: string;
}

/** One request over HTTP/1.1 on a connection of its own. */
export async function ask(socket: Socket, asked: Asked = {}): Promise<Answer> {
  const { method = 'GET', path = '/', headers = {}, body = '' } = asked;
  const request = httpRequest({ method, path, headers: { host: 'web', ...headers }, createConnection: () => socket });
  const answered = once(request, 'response') as Promise<[IncomingMessage]>;
  request.end(body);
  const [response] = await answered;
  const answer = {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: await text(response),
    trailers: response.trailers,
  };
  socket.destroy();
  return answer;
}

/** One request over HTTP/2, whose server is known to speak it. */
export async function askHttp2(socket: Socket, asked: Asked = {}): Promise<Answer> {
  const { method = 'GET', path = '/', headers = {}, body: sent = '' } = asked;
  const session = connectHttp2('http://web', { createConnection: () => socket });
  session.on('error', () => undefined);
  const stream = session.request({ ':method': method, ':path': path, ...headers }, { endStream: sent === '' });
  const answered = once(stream, 'response') as Promise<[IncomingHttpHeaders & { ':status'?: number }]>;
  if (sent !== '') stream.end(sent);
  let trailers: IncomingHttpHeaders = {};
  stream.once('trailers', (given: IncomingHttpHeaders) => (trailers = given));
  const [given] = await answered;
  const body = await text(stream);
  const answer = { status: given[':status'] ?? 0, headers: given, body, trailers };
  session.destroy();
  return answer;
}

/** What arrives until the other side ends, or the time is over. */
export async function readAll(socket: Socket, timeout = 10_000): Promise<string> {
  const timer = setTimeout(() => socket.destroy(new Error(`nothing ended within ${timeout} ms`)), timeout);
  let received = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => (received += chunk));
  if (!socket.closed) await once(socket, 'close').catch(() => undefined);
  clearTimeout(timer);
  return received;
}

/** What arrives first. */
export async function readFirst(socket: Socket, timeout = 10_000): Promise<string> {
  const [chunk] = (await once(socket, 'data', { signal: AbortSignal.timeout(timeout) })) as [Buffer];
  return chunk.toString();
}
