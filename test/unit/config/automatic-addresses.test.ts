import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';

import type { ServiceEntryDocument } from '../../../src/config/manifests/schemas/service-entry.ts';
import { serviceEntrySchema } from '../../../src/config/manifests/schemas/service-entry.ts';
import { assignAddresses } from '../../../src/config/manifests/automatic-addresses.ts';
import { parseAddress } from '../../../src/model/address.ts';
import { AUTOMATIC_ADDRESSES, automaticAddress, isAutomaticAddress } from '../../../src/model/automatic-address.ts';

interface Entry {
  readonly created?: string;
  readonly spec?: object;
  readonly status?: object;
  readonly labels?: Readonly<Record<string, string>>;
}

function entry(name: string, { created = '2026-01-01T00:00:00Z', spec = {}, status = {}, labels = {} }: Entry = {}) {
  return serviceEntrySchema.parse({
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: { name, namespace: 'shop', creationTimestamp: created, labels },
    spec: { hosts: [`${name}.example.com`], resolution: 'DNS', ...spec },
    status,
  });
}

const chosen = (host: string, ...values: readonly string[]) => ({
  addresses: values.map((value) => ({ host, value })),
});

function addressesOf(documents: readonly ServiceEntryDocument[], name: string): readonly string[] {
  return (assignAddresses(documents).get(`shop/${name}`) ?? []).map(({ value }) => value);
}

void describe('addresses of hosts', () => {
  test('are one of each family for each host, in the blocks that Istio takes them from', () => {
    const document = entry('a', { spec: { hosts: ['a.example.com', 'b.example.com', '*.example.com'] } });
    const found = assignAddresses([document]).get('shop/a') ?? [];
    const shown = found.map(({ host, value }) => `${host} ${/^(240\.240|2001:2:)/.exec(value)?.[0] ?? value}`);
    const blocks = ['240.240', '2001:2:'];
    assert.deepEqual(
      shown,
      ['a', 'b'].flatMap((name) => blocks.map((block) => `${name}.example.com ${block}`)),
    );
    assert.equal(new Set(found.map(({ value }) => value)).size, 4);
  });

  for (const [what, change] of [
    ['has its own', { spec: { addresses: ['192.0.2.1'] } }],
    ['has no resolution', { spec: { resolution: 'NONE' } }],
    ['says so by its label', { labels: { 'networking.istio.io/enable-autoallocate-ip': 'False' } }],
  ] as const) {
    test(`are not chosen for an entry that ${what}`, () => {
      assert.equal(assignAddresses([entry('a', change)]).size, 0);
    });
  }

  test('stay as they are, whatever comes and goes', () => {
    const kept = entry('a', { status: chosen('a.example.com', '240.240.7.7', '2001:2::7') });
    assert.deepEqual(addressesOf([entry('b'), kept, entry('c')], 'a'), ['240.240.7.7', '2001:2::7']);
  });

  test('are for so many hosts of a namespace, and take none from those of others', () => {
    const kept = entry('d', { created: '2026-02-01T00:00:00Z', status: chosen('d.example.com', '240.240.7.7') });
    const theirs = entry('e');
    const foreign = { ...theirs, metadata: { ...theirs.metadata, namespace: 'other' } };
    const found = assignAddresses([entry('a'), entry('b'), entry('c'), kept, foreign], 3);
    const counts = ['shop/a', 'shop/b', 'shop/c', 'shop/d', 'other/e'].map((key) => found.get(key)?.length);
    assert.deepEqual(counts, [2, 2, 0, 2, 2]);
  });

  test('are the same wherever they are worked out', () => {
    const names = Array.from({ length: 50 }, (_, index) => entry(`n${index}`));
    assert.deepEqual(assignAddresses(names), assignAddresses(names.toReversed()));
  });

  test('stay with the older entry where two have one, and the younger gets another', () => {
    const status = (host: string) => chosen(host, '240.240.7.7', '2001:2::7');
    const old = entry('z', { created: '2025-01-01T00:00:00Z', status: status('z.example.com') });
    const young = entry('a', { status: status('a.example.com') });
    assert.deepEqual(addressesOf([young, old], 'z'), ['240.240.7.7', '2001:2::7']);
    const others = addressesOf([young, old], 'a');
    assert.ok(others.length === 2 && !others.includes('240.240.7.7') && !others.includes('2001:2::7'));
  });

  test('are taken away by nobody who writes them into an entry, but not chosen where somebody has', () => {
    const [first = ''] = addressesOf([entry('a')], 'a');
    const thief = entry('thief', { created: '2020-01-01T00:00:00Z', spec: { addresses: [first] } });
    assert.notEqual(addressesOf([entry('a'), thief], 'a')[0], first);
    const kept = entry('a', { status: chosen('a.example.com', first) });
    assert.equal(addressesOf([kept, thief], 'a')[0], first);
  });

  for (const value of ['10.96.0.1', '240.240.255.254', '240.240.0.0', '240.240.255.255', '169.254.169.254', 'x', '']) {
    test(`are none that no control plane would choose: ${value}`, () => {
      const found = addressesOf([entry('a', { status: chosen('a.example.com', value) })], 'a');
      assert.ok(found.length === 2 && !found.includes(value), found.join());
    });
  }

  test('are never those of the control plane, nor the ends of the block, and all different', () => {
    const numbers = fc.integer({ min: 0, max: AUTOMATIC_ADDRESSES - 1 });
    fc.assert(
      fc.property(numbers, numbers, fc.constantFrom(4 as const, 6 as const), (one, other, family) => {
        const parsed = parseAddress(automaticAddress(family, one));
        assert.ok(parsed !== null && isAutomaticAddress(parsed));
        assert.equal(automaticAddress(family, one) === automaticAddress(family, other), one === other);
      }),
    );
  });

  test('are all different, and none where there is none left', () => {
    const numbers = Array.from({ length: AUTOMATIC_ADDRESSES }, (_, number) => number);
    const last = automaticAddress(4, 4711);
    const written = numbers.flatMap((number) => [automaticAddress(4, number), automaticAddress(6, number)]);
    const rest = entry('rest', { spec: { addresses: written.filter((address) => address !== last) } });
    const hosts = ['a.example.com', 'b.example.com', 'c.example.com'];
    const found = assignAddresses([rest, entry('a', { spec: { hosts } })]).get('shop/a');
    assert.deepEqual(found, [{ host: 'a.example.com', value: last }]);
  });
});
