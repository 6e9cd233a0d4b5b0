import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { NameResolver, nameLimits } from '../../../../src/ztunnel/names/name-resolver.ts';
import type { NameAnswer, NameLimits } from '../../../../src/ztunnel/names/name-resolver.ts';
import { ManualTimers, settled } from '../../../support/manual-timers.ts';

const minute = 60_000;

/** Name servers that answer what they are told to. */
function createRig(limits: Partial<NameLimits> = {}) {
  const timers = new ManualTimers();
  const answers = new Map<string, NameAnswer | Error | null>();
  const lookups: string[] = [];
  const published: string[] = [];
  const used = new Set(['a', 'b', 'c']);
  const askedAgain: string[] = [];
  const failures: string[] = [];
  const rig = { running: 0, most: 0, timers, answers, lookups, published, used, askedAgain, failures };
  const resolver = new NameResolver({
    lookUp: async (name) => {
      lookups.push(name);
      rig.most = Math.max(rig.most, ++rig.running);
      await settled();
      rig.running--;
      const answer = answers.get(name) ?? null;
      if (answer === null) return new Promise<NameAnswer>(() => undefined);
      if (answer instanceof Error) throw answer;
      return answer;
    },
    publish: (name, addresses) => published.push(`${name} ${addresses === null ? '-' : addresses.join()}`),
    askAgain: (name) => askedAgain.push(name),
    isUsed: (name) => used.has(name),
    onLookup: () => undefined,
    onFailure: (name, _, count, keepsOld) => failures.push(`${name} ${count} ${keepsOld ? 'kept' : 'lost'}`),
    timers,
    random: () => 0.5,
    limits: { ...nameLimits, ...limits },
  });
  const want = (name: string, namespace = 'shop'): { done: boolean } => {
    const wish = { done: false };
    resolver.want(name, namespace, () => {
      wish.done = true;
    });
    return wish;
  };
  /** Until what is under way has come to its end. */
  const rest = async (): Promise<void> => {
    for (let round = 0; round < 6; round++) await settled();
  };
  return { ...rig, rig, resolver, want, rest };
}

const found = (address: string, ttl = 30_000): NameAnswer => ({ addresses: [address], ttl });

void describe('a name that a connection asks for', () => {
  test('is looked up once, and whoever asks meanwhile waits for the same', async () => {
    const { answers, want, lookups, published, rest } = createRig();
    answers.set('a', found('192.0.2.1'));
    const [first, second] = [want('a'), want('a')];
    assert.deepEqual([first.done, second.done], [false, false]);
    await rest();
    assert.deepEqual([first.done, second.done, lookups, published], [true, true, ['a'], ['a 192.0.2.1']]);
    assert.equal(want('a').done, true);
    assert.deepEqual(lookups, ['a']);
  });

  test('is asked for anew when its time is over, and told where it has changed', async () => {
    const { answers, want, lookups, published, timers, rest } = createRig();
    answers.set('a', found('192.0.2.1'));
    want('a');
    await rest();
    timers.advance(30_000);
    await rest();
    assert.deepEqual([lookups.length, published.length], [2, 1]);
    answers.set('a', found('192.0.2.2'));
    timers.advance(30_000);
    await rest();
    assert.deepEqual(published, ['a 192.0.2.1', 'a 192.0.2.2']);
  });

  for (const [what, ttl, wait] of [
    ['no time at all', 0, nameLimits.shortestTtl],
    ['for ever', 1e12, nameLimits.longestTtl],
  ] as const) {
    test(`is believed neither for too short nor for too long where its time is ${what}`, async () => {
      const { answers, want, timers, rest } = createRig();
      answers.set('a', found('192.0.2.1', ttl));
      want('a');
      await rest();
      assert.deepEqual(timers.waits, [wait]);
    });
  }

  test('keeps what was found last while nobody answers, but not for ever', async () => {
    const { answers, want, published, failures, timers, rest } = createRig({ stale: 10 * minute, idle: 1000 * minute });
    answers.set('a', found('192.0.2.1'));
    want('a');
    await rest();
    answers.set('a', new Error('nobody'));
    timers.advance(30_000);
    await rest();
    assert.deepEqual([published, failures], [['a 192.0.2.1'], ['a 1 kept']]);
    for (let round = 0; round < 25; round++) {
      timers.advance(30_000);
      await rest();
    }
    assert.deepEqual(published, ['a 192.0.2.1', 'a -']);
    assert.ok(failures.some((text) => text.endsWith('lost')));
  });

  test('that cannot be looked up keeps nobody waiting, and is tried again', async () => {
    const { answers, want, published, timers, rest } = createRig();
    answers.set('a', new Error('nobody'));
    const first = want('a');
    await rest();
    assert.deepEqual([first.done, want('a').done, published], [true, true, []]);
    answers.set('a', found('192.0.2.1'));
    timers.advance(1000);
    await rest();
    assert.deepEqual(published, ['a 192.0.2.1']);
  });

  test('that has no address is known to have none', async () => {
    const { answers, want, published, rest } = createRig();
    answers.set('a', { addresses: [], ttl: 1000 });
    want('a');
    await rest();
    assert.deepEqual(published, ['a ']);
  });

  test('is let go of when no connection asks for it any more, and kept where one does', async () => {
    const { answers, want, published, askedAgain, timers, rest, resolver } = createRig({ idle: minute });
    for (const name of ['a', 'b']) answers.set(name, found('192.0.2.1', 60_000));
    want('a');
    want('b');
    await rest();
    timers.advance(60_000);
    await rest();
    assert.deepEqual(askedAgain, ['a', 'b']);
    want('b');
    timers.advance(60_000);
    await rest();
    assert.deepEqual([published.slice(2), resolver.size], [['a -'], 1]);
  });

  test('is let go of when nothing in the mesh has it', async () => {
    const { answers, want, used, timers, rest, resolver, published } = createRig();
    answers.set('a', found('192.0.2.1'));
    want('a');
    await rest();
    used.delete('a');
    timers.advance(30_000);
    assert.deepEqual([resolver.size, published.at(-1), timers.waits], [0, 'a -', []]);
  });
});

void describe('names', () => {
  test('are not more than there is room for, and those nobody asks for make room', async () => {
    const { answers, want, timers, rest, resolver } = createRig({ names: 2, idle: minute });
    for (const name of ['a', 'b', 'c']) answers.set(name, found('192.0.2.1', 60_000));
    want('a');
    want('b');
    await rest();
    assert.deepEqual([want('c').done, resolver.size], [true, 2]);
    timers.advance(60_000);
    await rest();
    want('a');
    const third = want('c');
    await rest();
    assert.deepEqual([third.done, resolver.size], [true, 2]);
  });

  test('are looked up a few at a time', async () => {
    const { answers, want, rest, rig } = createRig({ lookups: 2 });
    for (const name of ['a', 'b', 'c']) answers.set(name, found('192.0.2.1'));
    const wishes = ['a', 'b', 'c'].map((name) => want(name));
    await rest();
    await rest();
    assert.deepEqual([rig.most, wishes.every(({ done }) => done)], [2, true]);
  });

  test('of one namespace that nobody answers for keep those of others waiting no longer', async () => {
    const { answers, want, rest, rig } = createRig({ lookups: 3, lookupsOfOne: 2 });
    for (let index = 0; index < 10; index++) want(`silent-${index}`, 'bad');
    answers.set('a', found('192.0.2.1'));
    const wish = want('a');
    await rest();
    assert.equal(wish.done, true);
    assert.deepEqual(rig.lookups, ['silent-0', 'silent-1', 'a']);
  });

  test('of a namespace are asked for by turns with those of others', async () => {
    const { answers, want, rest, lookups } = createRig({ lookups: 1 });
    for (const name of ['a', 'b', 'c', 'd']) answers.set(name, found('192.0.2.1'));
    for (const name of ['a', 'b', 'c']) want(name, 'first');
    want('d', 'second');
    for (let round = 0; round < 4; round++) await rest();
    assert.deepEqual(lookups, ['a', 'b', 'd', 'c']);
  });

  test('that another namespace has asked for before need not wait for the turns of that', async () => {
    const { answers, want, rest, lookups } = createRig({ lookups: 3, lookupsOfOne: 1 });
    for (const name of ['silent', 'more', 'a']) want(name, 'bad');
    answers.set('a', found('192.0.2.1'));
    const wish = want('a');
    await rest();
    assert.deepEqual([wish.done, lookups], [true, ['silent', 'a']]);
  });

  test('of one namespace leave room for those of others', async () => {
    const { answers, want, rest, resolver } = createRig({ namesOfOne: 2 });
    for (const name of ['a', 'b', 'c', 'd']) answers.set(name, found('192.0.2.1'));
    const wishes = ['a', 'b', 'c'].map((name) => want(name, 'greedy'));
    assert.deepEqual(
      wishes.map(({ done }) => done),
      [false, false, true],
    );
    assert.equal(want('d').done, false);
    await rest();
    assert.equal(resolver.size, 3);
  });

  test('wait for nobody after the end', async () => {
    const { want, resolver, timers } = createRig();
    const wish = want('a');
    resolver.stop();
    await settled();
    assert.deepEqual([wish.done, timers.waits, want('b').done], [true, [], true]);
  });
});
