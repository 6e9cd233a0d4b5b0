/** Sends the bytes that its input names and waits for the end of the connection. */
import { connect as connectTcp } from 'node:net';
import type { Socket } from 'node:net';
import process from 'node:process';
import { connect as connectTls } from 'node:tls';

import type { Material } from './messages.ts';

interface Order {
  readonly address: string;
  readonly port: number;
  /** Base64. */
  readonly bytes: string;
  readonly material: Material | null;
  readonly patience: number;
}

function open({ address, port, material }: Order, opened: () => void): Socket {
  if (material === null) return connectTcp(port, address, opened);
  const { certificate, key, roots } = material;
  const options = { host: address, port, cert: certificate, key, ca: roots, ALPNProtocols: ['h2'] };
  // The name is in a URI, which Node does not compare, and whom the bytes reach is not the matter here.
  return connectTls({ ...options, checkServerIdentity: () => undefined }, opened);
}

let input = '';
for await (const chunk of process.stdin) input += String(chunk);
const order = JSON.parse(input) as Order;
const socket = open(order, () => socket.write(Buffer.from(order.bytes, 'base64')));
socket.on('error', () => undefined); // a reset is one of the ends that are waited for
socket.on('close', () => process.exit(0));
socket.resume();
setTimeout(() => socket.destroy(), order.patience);
