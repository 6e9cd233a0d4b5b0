import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { once, setMaxListeners } from 'node:events';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';

import { hostResolver, searchDomains } from '../../../../src/control/keys/resolve-host.ts';
import type { ResolveHost } from '../../../../src/control/keys/resolve-host.ts';

const known: Readonly<Record<string, readonly number[]>> = {
  'idp.test': [10, 0, 0, 1],
  'idp.shop.svc.cluster.local': [10, 0, 0, 2],
};
const noSuchName = 3;

/** A server of DNS that knows addresses of IPv4, and says nothing of names under `silent`. */
function answer(query: Buffer): Buffer | null {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length));
    at += length + 1;
  }
  if (labels.at(-1) === 'silent') return null;
  const asksForV4 = query.readUInt16BE(at + 1) === 1;
  const address = known[labels.join('.')];
  const header = Buffer.alloc(12);
  query.copy(header, 0, 0, 2);
  header.writeUInt16BE(0x8180 | (address === undefined ? noSuchName : 0), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(address !== undefined && asksForV4 ? 1 : 0, 6);
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...(address ?? [])]);
  const records = address !== undefined && asksForV4 ? [record] : [];
  return Buffer.concat([header, query.subarray(12, at + 5), ...records]);
}

void describe('hosts of keys', () => {
  let server: Socket;
  let resolve: ResolveHost;
  before(async () => {
    server = createSocket('udp4', (query, peer) => {
      const reply = answer(query);
      if (reply !== null) server.send(reply, peer.port, peer.address);
    }).bind(0, '127.0.0.1');
    await once(server, 'listening');
    const servers = [`127.0.0.1:${server.address().port}`];
    resolve = hostResolver({ servers, search: ['svc.cluster.local', 'cluster.local'], timeout: 60_000 });
  });
  after(() => {
    server.close();
  });
  const never = new AbortController().signal;

  test('have the addresses that DNS says', async () => {
    assert.deepEqual(await resolve('idp.test', never), ['10.0.0.1']);
  });

  test('are looked for in the search domains, too', async () => {
    assert.deepEqual(await resolve('idp.shop.svc', never), ['10.0.0.2']);
    await assert.rejects(resolve('idp.shop.svc.', never), /there is no host/);
  });

  test('that are nobody’s have none', async () => {
    await assert.rejects(resolve('nobody.test', never), /there is no host nobody\.test/);
  });

  test('that never answer keep nothing from reading files, and are given up with their signal', async () => {
    const stop = new AbortController();
    setMaxListeners(0, stop.signal);
    const asked = Array.from({ length: 16 }, (_, index) => resolve(`h${index}.silent`, stop.signal));
    const ended = Promise.allSettled(asked);
    assert.match(await readFile('/proc/self/status', 'utf8'), /^Name:/);
    stop.abort(new Error('given up'));
    for (const outcome of await ended) {
      assert.equal(outcome.status, 'rejected');
      assert.match(String(outcome.reason), /given up/);
    }
  });
});

void test('search domains are those of the last line that has some', () => {
  const text =
    'nameserver 10.0.0.1\nsearch a b\n# search x\nsearch shop.svc.cluster.local svc.cluster.local\noptions ndots:5\n';
  assert.deepEqual(searchDomains(text), ['shop.svc.cluster.local', 'svc.cluster.local']);
  assert.deepEqual(searchDomains('nameserver 10.0.0.1'), []);
});
