/** A server of HTTPS inside a namespace: `https-server-main.js PORT FOLDER`, which has `key`, `chain` and, where clients need a certificate of theirs, `roots`. Prints `ready`. */

import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { join } from 'node:path';
import process from 'node:process';

const [port = '0', folder = ''] = process.argv.slice(2);
const read = (name: string): string => readFileSync(join(folder, name), 'utf8');
const asksForMore = existsSync(join(folder, 'roots'));
const mutual = asksForMore ? { ca: read('roots'), requestCert: true, rejectUnauthorized: true } : {};

const server = createServer({ key: read('key'), cert: read('chain'), ...mutual }, (request, response) => {
  response.setHeader('x-server', 'outside');
  response.setHeader('x-name', String((request.socket as unknown as { servername: unknown }).servername));
  response.end();
});
server.on('tlsClientError', () => undefined); // that its client gives up is what the tests look at
server.listen({ port: Number(port), host: '::' }, () => {
  process.stdout.write('ready\n');
});
process.stdin.resume().on('end', () => {
  process.exit();
});
