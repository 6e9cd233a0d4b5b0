import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';

import { parseAddress } from '../../src/model/address.ts';

/** What a name server says of one name: addresses of both families, or why it says nothing. */
export interface NameRecords {
  readonly addresses: readonly string[];
  /** Seconds. */
  readonly ttl?: number;
  readonly fault?: 'servfail' | 'silent';
}

export type Names = Readonly<Record<string, NameRecords>>;

const typeA = 1;
const typeAaaa = 28;
const codes = { ok: 0, servfail: 2, absent: 3 } as const;

/** A name server that knows a few names: A and AAAA over UDP, everything else does not exist. */
export class DnsServer {
  readonly asked: string[] = [];
  names: Names;
  readonly #socket: Socket;

  private constructor(names: Names, family: 4 | 6) {
    this.names = names;
    this.#socket = createSocket(family === 4 ? 'udp4' : 'udp6');
    this.#socket.on('message', (query, from) => {
      const answer = this.#answer(query);
      if (answer !== null) this.#socket.send(answer, from.port, from.address);
    });
  }

  static async start(names: Names, address = '127.0.0.1', port = 0): Promise<DnsServer> {
    const server = new DnsServer(names, address.includes(':') ? 6 : 4);
    await new Promise<void>((resolve, reject) => {
      server.#socket.once('error', reject).bind(port, address, resolve);
    });
    return server;
  }

  /** As `--name-servers` takes it. */
  get address(): string {
    const { address, port } = this.#socket.address();
    return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
  }

  async stop(): Promise<void> {
    await new Promise<void>((resolve) => this.#socket.close(resolve));
  }

  #answer(query: Buffer): Buffer | null {
    const { name, end } = nameIn(query, 12);
    const type = query.readUInt16BE(end);
    this.asked.push(`${name} ${type === typeA ? 'A' : 'AAAA'}`);
    const known = this.names[name];
    const question = query.subarray(12, end + 4);
    if (known?.fault === 'silent') return null;
    if (known === undefined) return message(query, codes.absent, question, []);
    if (known.fault === 'servfail') return message(query, codes.servfail, question, []);
    const wanted = known.addresses.flatMap((text) => {
      const address = parseAddress(text);
      return address?.family === (type === typeA ? 4 : 6) && [typeA, typeAaaa].includes(type) ? [address.bytes] : [];
    });
    const records = wanted.map((bytes) => record(type, known.ttl ?? 60, bytes));
    return message(query, codes.ok, question, records);
  }
}

function nameIn(query: Buffer, start: number): { readonly name: string; readonly end: number } {
  const labels: string[] = [];
  let at = start;
  for (let length = query.readUInt8(at); length > 0; length = query.readUInt8(at)) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.').toLowerCase(), end: at + 1 };
}

function message(query: Buffer, code: number, question: Buffer, records: readonly Buffer[]): Buffer {
  const header = Buffer.alloc(12);
  query.copy(header, 0, 0, 2);
  header.writeUInt16BE(0x8180 | code, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(records.length, 6);
  return Buffer.concat([header, question, ...records]);
}

/** Of the name that was asked for, which stands behind the header. */
function record(type: number, ttl: number, bytes: Uint8Array): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt16BE(0xc00c, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt32BE(ttl, 6);
  head.writeUInt16BE(bytes.length, 10);
  return Buffer.concat([head, bytes]);
}
