import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';

import { nameLookup } from '../../../src/agent/look-up-name.ts';
import { DnsServer } from '../../support/dns-server.ts';
import type { Names } from '../../support/dns-server.ts';

async function lookUp(context: TestContext, names: Names, name: string) {
  const server = await DnsServer.start(names);
  context.after(() => server.stop());
  return nameLookup([server.address])(name, new AbortController().signal);
}

test('a name has its addresses of both families, for as long as the shortest of them lives', async (context) => {
  const names = { 'db.example.com': { addresses: ['192.0.2.2', '192.0.2.1', '2001:db8::1'], ttl: 7 } };
  assert.deepEqual(await lookUp(context, names, 'db.example.com'), {
    addresses: ['192.0.2.1', '192.0.2.2', '2001:db8::1'],
    ttl: 7000,
  });
});

test('one family is enough', async (context) => {
  const { addresses } = await lookUp(context, { 'db.example.com': { addresses: ['2001:db8::1'] } }, 'db.example.com');
  assert.deepEqual(addresses, ['2001:db8::1']);
});

test('a name that does not exist has no addresses', async (context) => {
  assert.deepEqual((await lookUp(context, {}, 'db.example.com')).addresses, []);
});

test('a server that fails is a failure, and no name without addresses', async (context) => {
  const names = { 'db.example.com': { addresses: [], fault: 'servfail' } } as const;
  await assert.rejects(lookUp(context, names, 'db.example.com'), { code: 'ESERVFAIL' });
});

test('a lookup is given up with the signal', async (context) => {
  const server = await DnsServer.start({ 'db.example.com': { addresses: [], fault: 'silent' } });
  context.after(() => server.stop());
  const giving = new AbortController();
  const looking = nameLookup([server.address])('db.example.com', giving.signal);
  giving.abort();
  await assert.rejects(looking, { code: 'ECANCELLED' });
});

test('of a name with very many addresses some are used', async (context) => {
  const addresses = Array.from({ length: 20 }, (_, index) => `2001:db8::${index + 1}`);
  const many = [...addresses, ...Array.from({ length: 20 }, (_, index) => `192.0.2.${index + 1}`)];
  const found = await lookUp(context, { 'db.example.com': { addresses: many } }, 'db.example.com');
  assert.equal(found.addresses.length, 40);
});
