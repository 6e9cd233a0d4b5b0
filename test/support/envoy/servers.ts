import { once } from 'node:events';
import { createServer as createHttp } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createHttp2 } from 'node:http2';
import { createServer as createTcp } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { text } from 'node:stream/consumers';

/** A server of a test, on loopback and a port that the kernel chose. */
export class TestServer {
  readonly port: number;
  /** Requests that have come, as the server has seen them. */
  readonly seen: Seen[] = [];
  connections = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', (socket: Socket) => {
      this.connections++;
      this.#sockets.add(socket);
    });
  }

  static async listen(server: Server): Promise<TestServer> {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new TestServer(server);
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly version: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

type Respond = (seen: Seen, response: ServerResponse) => void;

const ok: Respond = (_, response) => response.end();

/** Answers what it has seen as JSON, with a name by which servers are told apart. */
export async function httpServer(name: string, respond: Respond = ok): Promise<TestServer> {
  const server = createHttp();
  const running = await TestServer.listen(server);
  server.on('request', handler(name, running, respond));
  server.on('upgrade', (_: IncomingMessage, socket: Socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n');
    socket.on('data', (chunk: Buffer) => socket.write(`${name} ${chunk.toString()}`));
  });
  return running;
}

export async function http2Server(name: string, respond: Respond = ok): Promise<TestServer> {
  const server = createHttp2();
  const running = await TestServer.listen(server);
  // The compatible part of HTTP/2's request and response is all that is used.
  server.on('request', (request, response) => {
    handler(name, running, respond)(request as unknown as IncomingMessage, response as unknown as ServerResponse);
  });
  return running;
}

function handler(name: string, server: TestServer, respond: Respond) {
  return (request: IncomingMessage, response: ServerResponse): void => {
    // One that is broken off is no request.
    const whole = text(request).catch(() => null);
    void whole.then((body) => {
      if (body === null) return;
      const { method = '', url: path = '', httpVersion: version, headers } = request;
      const seen = { method, path, version, headers, body };
      server.seen.push(seen);
      response.setHeader('x-server', name);
      respond(seen, response);
    });
  };
}

/** Sends back each piece of a call of gRPC as it comes, and ends well. */
export async function grpcEcho(): Promise<TestServer> {
  const server = createHttp2();
  server.on('stream', (stream) => {
    stream.on('error', () => undefined);
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => {
      stream.sendTrailers({ 'grpc-status': '0' });
    });
    stream.pipe(stream);
  });
  return TestServer.listen(server);
}

/** Speaks first, then repeats what it hears. */
export async function greeter(greeting: string): Promise<TestServer> {
  return TestServer.listen(
    createTcp((socket) => {
      socket.on('error', () => undefined);
      socket.write(greeting);
      socket.pipe(socket);
    }),
  );
}

/** Repeats what it hears, after its name. */
export async function echoServer(name: string): Promise<TestServer> {
  return TestServer.listen(
    createTcp((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', (chunk) => socket.write(`${name}:${chunk.toString()}`));
    }),
  );
}
