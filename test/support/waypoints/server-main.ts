/** Servers of one replica of a shop, for tests with waypoints: `server-main.js NAME`. Prints `ready` and ends with its input. */

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createHttp2 } from 'node:http2';
import { createServer as createTcp } from 'node:net';
import type { Server } from 'node:net';
import process from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';

import { serverPorts } from './ports.ts';

const name = process.argv[2] ?? 'server';
let seen = 0;
let flaky = 0;

/** The path says what is wanted: `/status/503`, `/delay/200` (milliseconds), `/flaky`: every second request fails, `/seen`. */
async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname } = new URL(request.url ?? '/', 'http://server');
  const [, what, value = ''] = pathname.split('/');
  if (what === 'seen') {
    response.end(String(seen));
    return;
  }
  seen++;
  if (what === 'delay') await delay(Number(value));
  const fails = what === 'flaky' && flaky++ % 2 === 0;
  const status = what === 'status' ? Number(value) : fails ? 503 : 200;
  response.writeHead(status, { 'x-server': name, 'content-type': 'application/json' });
  const { method, url: path, headers } = request;
  response.end(JSON.stringify({ server: name, method, path, headers }));
}

const web = createServer((request, response) => {
  void answer(request, response);
});
web.on('upgrade', (_, socket) => {
  socket.on('error', () => undefined);
  socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n');
  socket.on('data', (chunk: Buffer) => socket.write(`${name} ${chunk.toString()}`));
});

const rpc = createHttp2();
rpc.on('stream', (stream, headers) => {
  stream.on('error', () => undefined);
  const grpc = headers['content-type'] === 'application/grpc';
  stream.respond(
    { ':status': 200, 'x-server': name, ...(grpc ? { 'content-type': 'application/grpc' } : {}) },
    {
      waitForTrailers: grpc,
    },
  );
  if (grpc) {
    stream.on('wantTrailers', () => {
      stream.sendTrailers({ 'grpc-status': '0' });
    });
  }
  stream.end(grpc ? Buffer.alloc(5) : name);
});

const bytes = createTcp((socket) => {
  socket.on('error', () => undefined);
  socket.write(`hello from ${name}\n`);
  socket.pipe(socket);
});

const servers: readonly (readonly [Server, number])[] = [
  [web, serverPorts.web],
  [rpc, serverPorts.rpc],
  [bytes, serverPorts.bytes],
];
await Promise.all(
  servers.map(async ([server, port]) => {
    server.listen(port, '::');
    await once(server, 'listening');
  }),
);
console.log('ready');
process.stdin.resume().once('end', () => process.exit(0));
