/** A name server for tests: `dns-server-main.js ADDRESS PORT`. Reads what it knows as a line of JSON each time that changes. */

import { createInterface } from 'node:readline';
import process from 'node:process';

import { DnsServer } from './dns-server.ts';
import type { Names } from './dns-server.ts';

const [address = '127.0.0.1', port = '53'] = process.argv.slice(2);
const server = await DnsServer.start({}, address, Number(port));
process.stdout.write('ready\n');
for await (const line of createInterface({ input: process.stdin })) {
  server.names = JSON.parse(line) as Names;
  process.stdout.write('known\n');
}
await server.stop();
