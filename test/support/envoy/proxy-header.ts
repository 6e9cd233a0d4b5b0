import { parseAddress } from '../../../src/model/address.ts';

export interface HandedOver {
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
  /** Type → text. */
  readonly facts: ReadonlyMap<number, string>;
}

const signature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
/** Version 2, and the connection is not the proxy's own. */
const proxied = 0x21;
const tcp4 = 0x11;
const tcp6 = 0x21;

/** The header of version 2 that the node's engine writes before the bytes of a connection. */
export function proxyHeader(connection: HandedOver): Buffer {
  const source = parseAddress(connection.source);
  const destination = parseAddress(connection.destination);
  if (source === null || destination?.family !== source.family)
    throw new Error('two addresses of one family are needed');
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(connection.sourcePort, 0);
  ports.writeUInt16BE(connection.destinationPort, 2);
  const facts = [...connection.facts].map(([type, text]) => lengthPrefixed(type, Buffer.from(text)));
  const rest = Buffer.concat([source.bytes, destination.bytes, ports, ...facts]);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(rest.length);
  return Buffer.concat([signature, Buffer.from([proxied, source.family === 4 ? tcp4 : tcp6]), length, rest]);
}

function lengthPrefixed(type: number, value: Buffer): Buffer {
  const head = Buffer.alloc(3);
  head.writeUInt8(type, 0);
  head.writeUInt16BE(value.length, 1);
  return Buffer.concat([head, value]);
}
