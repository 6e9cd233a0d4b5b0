import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, it } from 'node:test';

import { materialOf } from '../../support/hbone/peer.ts';
import type { Material } from '../../support/hbone/messages.ts';
import { RawClient } from '../../support/hbone/raw.ts';
import { peerAuthentication } from '../../support/manifests.ts';
import { Mesh } from '../../support/mesh.ts';
import { rootSuite } from '../../support/suite.ts';
import { call, whoIn } from '../../support/testkit.ts';

const member = { namespace: 'shop' } as const;
const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const settings = frame(4, 0, 0, Buffer.alloc(0));

/** One HTTP/2 frame: type, flags, stream, payload; `length` where it shall lie about it. */
function frame(type: number, flags: number, stream: number, payload: Buffer, length = payload.length): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(length, 0, 3);
  header.writeUInt8(type, 3);
  header.writeUInt8(flags, 4);
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}

/** Literal header fields without indexing (RFC 7541, 6.2.2), names and values in plain octets. */
function headerBlock(fields: readonly (readonly [string, string])[]): Buffer {
  const text = (value: string): Buffer => Buffer.concat([hpackLength(value.length), Buffer.from(value)]);
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]));
}

/** An integer with a prefix of seven bits. */
function hpackLength(length: number): Buffer {
  if (length < 127) return Buffer.from([length]);
  const bytes = [127];
  let rest = length - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}

/** Bytes that are no HBONE, before and after the handshake: each ends its own connection and nothing else. */
rootSuite('malformed TLS and HTTP/2', () => {
  let mesh: Mesh;
  let attacker: RawClient;
  let material: Material;
  before(async () => {
    mesh = await Mesh.create({
      nodes: 1,
      pods: { client: 0, server: 0, rogue: 0 },
      members: { client: member, server: member },
      servers: { server: ['whoami@[::]:8080'] },
      documents: [peerAuthentication('shop', 'STRICT')],
      agentOptions: { flags: ['--connect-timeout', '2s'] },
    });
    material = await materialOf(mesh.rig.caFolder, 'spiffe://cluster.local/ns/shop/sa/client');
    attacker = new RawClient(mesh.netns('rogue'));
  });
  after(() => mesh.remove());

  /** Sends bytes, sees the connection end, the refusal counted and the pod served. */
  async function attack(bytes: Buffer, reason: RegExp, secured: Material | null): Promise<void> {
    const refused = 'ambit_flows_refused_total';
    await mesh.growth(0, refused, { reason }, () => attacker.send(mesh.pod('server').ipv4, bytes, secured), 1);
    assert.equal(whoIn(await call(mesh.netns('client'), mesh.at('server', 8080))).server, 'server');
  }

  const beforeTls: Readonly<Record<string, Buffer>> = {
    'random bytes': randomBytes(4096),
    'HTTP/1.1 in the clear': Buffer.from('GET / HTTP/1.1\r\nHost: server\r\n\r\n'),
    'an HTTP/2 preface in the clear': Buffer.concat([preface, settings]),
    'a TLS record that is longer than records may be': Buffer.concat([
      Buffer.from([22, 3, 1, 0xff, 0xff]),
      randomBytes(70_000),
    ]),
    'a ClientHello that is cut off': Buffer.from([22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3]),
    'an alert': Buffer.from([21, 3, 3, 0, 2, 2, 40]),
  };
  for (const [what, bytes] of Object.entries(beforeTls)) {
    it(`${what} instead of a handshake`, () => attack(bytes, /tls_failed|handshake_timeout/, null));
  }

  const connect = [
    [':method', 'CONNECT'],
    [':authority', '10.0.0.1:80'],
  ] as const;
  const huge = headerBlock([...connect, ['x', 'y'.repeat(200_000)]]);
  const afterTls: Readonly<Record<string, Buffer>> = {
    'random bytes': randomBytes(4096),
    'a wrong preface': Buffer.from('PRI * HTTP/3.0\r\n\r\nSM\r\n\r\n'),
    'nothing after the preface is begun': preface.subarray(0, 10),
    'a frame that is larger than SETTINGS allow': Buffer.concat([
      ...[preface, settings],
      frame(0, 0, 1, randomBytes(16), 0xffffff),
    ]),
    'DATA on a stream that was never opened': Buffer.concat([preface, settings, frame(0, 0, 7, randomBytes(16))]),
    'HEADERS on an even stream': Buffer.concat([preface, settings, frame(1, 5, 2, headerBlock(connect))]),
    'HPACK that decodes to nothing': Buffer.concat([preface, settings, frame(1, 5, 1, Buffer.alloc(64, 0xff))]),
    'SETTINGS of a wrong length': Buffer.concat([preface, frame(4, 0, 0, Buffer.alloc(5))]),
    'a window that overflows': Buffer.concat([
      preface,
      settings,
      frame(8, 0, 0, Buffer.from([0x7f, 0xff, 0xff, 0xff])),
    ]),
    'CONTINUATION without HEADERS': Buffer.concat([preface, settings, frame(9, 4, 1, headerBlock(connect))]),
    'a PUSH_PROMISE from a client': Buffer.concat([preface, settings, frame(5, 4, 1, Buffer.from([0, 0, 0, 2, 0x82]))]),
  };
  for (const [what, bytes] of Object.entries(afterTls)) {
    it(`${what} inside TLS`, () => attack(bytes, /http2_failed|http2_violation|handshake_timeout/, material));
  }

  it('headers beyond the limit are refused, and cost the pod nothing else', async () => {
    const pieces = Array.from({ length: Math.ceil(huge.length / 16_000) }, (_, turn) =>
      huge.subarray(turn * 16_000, (turn + 1) * 16_000),
    );
    const frames = pieces.map((piece, turn) => frame(turn === 0 ? 1 : 9, turn === pieces.length - 1 ? 4 : 0, 1, piece));
    await attacker.send(mesh.pod('server').ipv4, Buffer.concat([preface, settings, ...frames]), material, 500);
    assert.equal(whoIn(await call(mesh.netns('client'), mesh.at('server', 8080))).server, 'server');
  });

  it('streams that are opened and reset without end cost the connection that does it', async () => {
    const rounds = Array.from({ length: 2000 }, (_, turn) => {
      const stream = 2 * turn + 1;
      return Buffer.concat([frame(1, 4, stream, headerBlock(connect)), frame(3, 0, stream, Buffer.from([0, 0, 0, 8]))]);
    });
    await attack(Buffer.concat([preface, settings, ...rounds]), /http2_violation|foreign_authority/, material);
  });
});
