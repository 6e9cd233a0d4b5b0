import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  addressFromBytes,
  addressLength,
  cidrContains,
  cidrOf,
  parseAddress,
  parseCidr,
} from '../../../src/model/address.ts';
import type { Cidr, IpAddress } from '../../../src/model/address.ts';
import { PrefixTree } from '../../../src/model/prefix-tree.ts';

/** Few different bits, so that blocks nest and collide. */
const bytes = (length: number) =>
  fc
    .tuple(fc.array(fc.constantFrom(0, 1, 2, 128, 255), { minLength: 2, maxLength: 2 }), fc.constantFrom(0, 255))
    .map(([edge, fill]) =>
      Uint8Array.from({ length }, (_, index) =>
        index === 0 ? (edge[0] ?? 0) : index === length - 1 ? (edge[1] ?? 0) : fill,
      ),
    );
const address = fc.oneof(bytes(4), bytes(16)).map(addressFromBytes);
const lengths = (family: 4 | 6) =>
  fc.oneof(
    fc.integer({ min: 0, max: addressLength(family) }),
    fc.constant(addressLength(family)),
    fc.constantFrom(7, 8, 30),
  );
const cidr = address.chain((base) => lengths(base.family).map((length) => cidrOf(base, length)));

interface Step {
  readonly add: boolean;
  readonly cidr: Cidr;
}
/** From a small pool, so that what is removed was often inserted. */
const steps: fc.Arbitrary<Step[]> = fc
  .array(cidr, { minLength: 1, maxLength: 8 })
  .chain((pool) => fc.array(fc.record({ add: fc.boolean(), cidr: fc.constantFrom(...pool) }), { maxLength: 40 }));

/** The same as a plain list: slow and obvious. */
function replay(script: readonly Step[]): { tree: PrefixTree; entries: Cidr[] } {
  const tree = new PrefixTree();
  const entries: Cidr[] = [];
  for (const step of script) {
    const index = entries.findIndex((entry) => entry.text === step.cidr.text);
    if (step.add) {
      tree.insert(step.cidr);
      entries.push(step.cidr);
    } else {
      assert.equal(tree.remove(step.cidr), index >= 0);
      if (index >= 0) entries.splice(index, 1);
    }
  }
  return { tree, entries };
}

function expectedHole(entries: readonly Cidr[], around: IpAddress): number {
  for (let length = 0; ; length++) {
    const block = cidrOf(around, length);
    const inside = (entry: Cidr) =>
      entry.family === block.family &&
      entry.prefixLength > length &&
      cidrOf({ ...entry, text: '' }, length).text === block.text;
    if (!entries.some(inside)) return length;
  }
}

void describe('a prefix tree', () => {
  test('finds the longest match, as a list would', () => {
    fc.assert(
      fc.property(steps, address, (script, wanted) => {
        const { tree, entries } = replay(script);
        const best = entries
          .filter((entry) => cidrContains(entry, wanted))
          .sort((left, right) => right.prefixLength - left.prefixLength)[0];
        assert.equal(tree.longestMatch(wanted)?.text ?? null, best?.text ?? null);
        assert.equal(tree.size, new Set(entries.map(({ text }) => text)).size);
        for (const { cidr: any } of script)
          assert.equal(
            tree.has(any),
            entries.some(({ text }) => text === any.text),
          );
      }),
      { numRuns: 1000 },
    );
  });

  test('finds the widest hole, as a list would', () => {
    fc.assert(
      fc.property(steps, address, (script, wanted) => {
        const { tree, entries } = replay(script);
        assert.equal(tree.holePrefixLength(wanted), expectedHole(entries, wanted));
      }),
      { numRuns: 1000 },
    );
  });

  test('gives every address of a hole the same match', () => {
    fc.assert(
      fc.property(steps, address, address, (script, wanted, other) => {
        const { tree } = replay(script);
        const hole = cidrOf(wanted, tree.holePrefixLength(wanted));
        if (!cidrContains(hole, other)) return;
        assert.equal(tree.longestMatch(other)?.text, tree.longestMatch(wanted)?.text);
        assert.equal(tree.holePrefixLength(other), hole.prefixLength);
      }),
      { numRuns: 1000 },
    );
  });

  test('counts what is inserted twice', () => {
    const tree = new PrefixTree();
    const block = parseCidr('10.0.0.0/8');
    assert.ok(block !== null);
    tree.insert(block);
    tree.insert(block);
    assert.ok(tree.remove(block));
    assert.ok(tree.has(block));
    assert.ok(tree.remove(block));
    assert.ok(!tree.has(block));
    assert.ok(!tree.remove(block));
  });

  test('covers a scan of 100,000 unknown addresses with a few holes', () => {
    const tree = new PrefixTree();
    for (const text of ['10.0.1.1', '10.0.1.2', '10.0.2.1', '10.96.0.10', '10.96.0.0/16']) {
      const block = parseCidr(text);
      assert.ok(block !== null);
      tree.insert(block);
    }
    const holes = new Set<string>();
    for (let index = 0; index < 100_000; index++) {
      const unknown = addressFromBytes(Uint8Array.of(192, 168 + (index >> 16), (index >> 8) & 255, index & 255));
      holes.add(cidrOf(unknown, tree.holePrefixLength(unknown)).text);
    }
    assert.deepEqual([...holes], ['128.0.0.0/1']);
  });

  test('is one hole when it is empty', () => {
    const any = parseAddress('fd00::1');
    assert.ok(any !== null);
    assert.equal(new PrefixTree().holePrefixLength(any), 0);
  });
});
