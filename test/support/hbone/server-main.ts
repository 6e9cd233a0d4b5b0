/** An HBONE server of the test's own, in place of a pod's: says what it is asked for, answers by the port asked for. */
import { createSecureServer } from 'node:http2';
import type { Http2Session, IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { TLSSocket } from 'node:tls';

import { announced, answerQuestions, say, textHeaders } from './answering.ts';
import type { Material, Question, Reply } from './messages.ts';

/** What a CONNECT to a port of the test's choosing gets; every other port echoes. */
export const answersByPort = { refuse: 7401, endFirst: 7402, reset: 7403, silent: 7404 } as const;

const sessions = new Set<ServerHttp2Session>();
let tunnels = 0;
let streams = 0;

function listen(question: Question): Promise<Reply> {
  const { certificate, key, roots } = question['material'] as Material;
  const server = createSecureServer({
    ...{ cert: certificate, key, ca: roots, requestCert: true, rejectUnauthorized: true },
    ALPNProtocols: ['h2'],
    settings: { maxConcurrentStreams: (question['maxConcurrentStreams'] as number | undefined) ?? 200 },
  });
  server.on('session', (session) => {
    meet(session);
  });
  server.on('sessionError', () => undefined);
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(question['port'] as number, question['address'] as string, () => {
      resolve({ listening: true });
    });
  });
}

function meet(session: ServerHttp2Session): void {
  const tunnel = tunnels++;
  const socket = session.socket as TLSSocket;
  sessions.add(session);
  say({
    event: 'tunnel',
    tunnel,
    peer: `${socket.remoteAddress ?? ''}:${socket.remotePort ?? 0}`,
    version: socket.getProtocol(),
    names: socket.getPeerCertificate().subjectaltname ?? '',
    serverName: (socket as { servername?: string | false }).servername ?? null,
  });
  session.on('error', () => undefined);
  session.on('ping', () => {
    say({ event: 'ping', tunnel });
  });
  session.once('close', () => {
    sessions.delete(session);
    say({ event: 'closed', tunnel });
  });
  session.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    answer(session, tunnel, stream, headers);
  });
}

function answer(session: Http2Session, tunnel: number, stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  const id = streams++;
  let received = 0;
  stream.on('error', () => undefined);
  stream.on('data', (data: Buffer) => (received += data.length));
  stream.once('end', () => {
    say({ event: 'end', stream: id, received });
  });
  stream.once('close', () => {
    say({ event: 'stream-closed', stream: id, received, code: stream.rstCode });
  });
  say({ event: 'stream', stream: id, tunnel, headers: textHeaders(headers), settings: announced(session) });
  respond(stream, Number(/:(\d+)$/.exec(String(headers[':authority']))?.[1]));
}

function respond(stream: ServerHttp2Stream, port: number): void {
  if (port === answersByPort.silent) return;
  if (port === answersByPort.refuse) {
    stream.respond({ ':status': 401 }, { endStream: true });
    return;
  }
  stream.respond({ ':status': 200, baggage: 'k8s.namespace.name=elsewhere' });
  if (port === answersByPort.endFirst) stream.end('all that there is\n');
  // Not close(): that ends the stream in good order first.
  else if (port === answersByPort.reset) stream.destroy(new Error('as asked'));
  else stream.pipe(stream);
}

answerQuestions({
  listen,
  goaway: () => {
    for (const session of sessions) session.goaway(0);
    return { told: sessions.size };
  },
  /** Ends every tunnel as a process that was killed does. */
  destroy: () => {
    const count = sessions.size;
    for (const session of sessions) session.destroy();
    return { destroyed: count };
  },
});
