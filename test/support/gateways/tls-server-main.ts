/** A server that ends TLS itself: `tls-server-main.js NAME`. The first line of its input is its certificate and key as JSON. */

import { once } from 'node:events';
import { createServer } from 'node:https';
import process from 'node:process';
import { createInterface } from 'node:readline';

import { tlsServerPort } from './ports.ts';

const name = process.argv[2] ?? 'server';
const input = createInterface({ input: process.stdin });
const [line] = (await once(input, 'line')) as [string];
const { certificate: cert, key } = JSON.parse(line) as { certificate: string; key: string };
const server = createServer({ cert, key }, (_, response) => {
  response.writeHead(200, { 'x-server': name }).end(name);
});
server.listen(tlsServerPort, '::');
await once(server, 'listening');
console.log('ready');
input.once('close', () => process.exit(0));
