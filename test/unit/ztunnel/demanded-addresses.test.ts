import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { DemandedAddresses } from '../../../src/ztunnel/demanded-addresses.ts';
import type { Claimant, DemandLimits } from '../../../src/ztunnel/demanded-addresses.ts';

const limits: DemandLimits = {
  addresses: 12,
  addressesOf: { destinations: 10, sources: 2, handovers: 2, guards: 2 },
  rate: 1,
  burst: 100,
  youngest: 1000,
};
const a: Claimant = { pod: 'a', side: 'destinations' };
const b: Claimant = { pod: 'b', side: 'destinations' };
const nothing = (): ReadonlySet<string> => new Set();

function claimAll(demanded: DemandedAddresses, claimant: Claimant, count: number, now: number): string[] {
  return Array.from({ length: count }, (_, index) => demanded.claim(claimant, `${claimant.pod}${index}`, now, nothing));
}

suite('demanded addresses', () => {
  test('are asked for once, whoever wants them', () => {
    const demanded = new DemandedAddresses(limits);
    assert.deepEqual([demanded.claim(a, 'x', 0, nothing), demanded.claim(b, 'x', 0, nothing)], ['added', 'held']);
    assert.equal(demanded.size, 1);
  });

  test('of one pod are bounded: what it asked about the longest ago makes room', () => {
    const demanded = new DemandedAddresses(limits);
    claimAll(demanded, a, 10, 0);
    assert.equal(demanded.claim(a, 'a0', 1, nothing), 'held');
    assert.equal(demanded.claim(a, 'x', 2000, nothing), 'added');
    assert.deepEqual(demanded.takeReleased(), ['a1']);
  });

  test('that are young or in use make no room', () => {
    const demanded = new DemandedAddresses(limits);
    claimAll(demanded, a, 10, 0);
    assert.equal(demanded.claim(a, 'x', 999, nothing), 'too_many_destinations');
    const all = new Set(demanded.all());
    assert.equal(
      demanded.claim(a, 'x', 2000, () => all),
      'too_many_destinations',
    );
    assert.deepEqual(demanded.takeReleased(), []);
  });

  test('of a pod that scans do not push out those of another', () => {
    const demanded = new DemandedAddresses(limits);
    claimAll(demanded, b, 4, 0);
    claimAll(demanded, a, 8, 0);
    assert.equal(demanded.claim(a, 'x', 2000, nothing), 'added');
    assert.deepEqual(demanded.takeReleased(), ['a0']);
    assert.equal(demanded.claim(b, 'y', 4000, nothing), 'added');
    assert.deepEqual(demanded.takeReleased(), ['a1']);
  });

  test('come at a bounded rate', () => {
    const demanded = new DemandedAddresses({ ...limits, burst: 2 });
    assert.deepEqual(claimAll(demanded, a, 3, 0), ['added', 'added', 'destination_rate_exceeded']);
    assert.equal(demanded.claim(a, 'x', 1000, nothing), 'added');
    assert.equal(demanded.claim(b, 'y', 1000, nothing), 'added');
  });

  test('of who connects to a pod do not push out where it connects to', () => {
    const demanded = new DemandedAddresses(limits);
    claimAll(demanded, a, 10, 0);
    const sources: Claimant = { pod: 'a', side: 'sources' };
    for (const [index, source] of ['p', 'q', 'r'].entries()) demanded.claim(sources, source, 2000 * index, nothing);
    assert.deepEqual(demanded.takeReleased(), ['p']);
  });

  test('go when nobody has asked about them since the last look, or their pod is gone', () => {
    const demanded = new DemandedAddresses(limits);
    demanded.claim(a, 'old', 0, nothing);
    demanded.claim(a, 'open', 0, nothing);
    demanded.claim(a, 'young', 10, nothing);
    demanded.claim(b, 'young', 10, nothing);
    demanded.claim(b, 'gone', 10, nothing);
    demanded.sweep(5, new Set(['a']), new Set(['open']));
    assert.deepEqual([...demanded.takeReleased()].sort(), ['gone', 'old']);
    assert.deepEqual([...demanded.all()].sort(), ['open', 'young']);
  });

  test('that were let go of and are wanted again are not told as gone', () => {
    const demanded = new DemandedAddresses(limits);
    demanded.claim(a, 'x', 0, nothing);
    demanded.drop('x');
    assert.equal(demanded.claim(b, 'x', 0, nothing), 'added');
    assert.deepEqual(demanded.takeReleased(), []);
  });

  test('are never more than the limits, and what is released is held by nobody', () => {
    const step = fc.record({
      claimant: fc.constantFrom(
        a,
        b,
        { pod: 'a', side: 'sources' } as const,
        { pod: 'c', side: 'destinations' } as const,
      ),
      address: fc.nat({ max: 30 }).map(String),
      wait: fc.constantFrom(0, 500, 1500),
      inUse: fc.subarray(['0', '1', '2', '3']),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const demanded = new DemandedAddresses(limits);
        const subscribed = new Set<string>();
        let now = 0;
        for (const { claimant, address, wait, inUse } of steps) {
          now += wait;
          const before = subscribed.has(address);
          const result = demanded.claim(claimant, address, now, () => new Set(inUse));
          for (const released of demanded.takeReleased()) {
            subscribed.delete(released);
            assert.ok(!inUse.includes(released));
          }
          if (result === 'added') subscribed.add(address);
          if (before) assert.equal(result, 'held');
          assert.ok(demanded.size <= limits.addresses);
          assert.deepEqual([...demanded.all()].sort(), [...subscribed].sort());
        }
      }),
    );
  });
});
