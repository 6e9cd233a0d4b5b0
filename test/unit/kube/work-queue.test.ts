import assert from 'node:assert/strict';
import { test } from 'node:test';

import { WorkQueue } from '../../../src/kube/work-queue.ts';
import { ManualTimers, settled } from '../../support/manual-timers.ts';

interface Running {
  readonly key: string;
  readonly finish: (error?: Error) => void;
}

function createQueue(concurrency = 2) {
  const timers = new ManualTimers();
  const running: Running[] = [];
  const failures: number[] = [];
  const queue = new WorkQueue({
    work: (key) =>
      new Promise((resolve, reject) => {
        const entry = {
          key,
          finish: (error?: Error) => {
            running.splice(running.indexOf(entry), 1);
            if (error === undefined) resolve();
            else reject(error);
          },
        };
        running.push(entry);
      }),
    concurrency,
    timers,
    random: () => 0.5,
    onFailure: (_key, _error, count) => failures.push(count),
  });
  const keys = (): readonly string[] => running.map(({ key }) => key);
  const finish = async (key: string, error?: Error): Promise<void> => {
    const entry = running.find((candidate) => candidate.key === key);
    assert.ok(entry, `${key} is not worked on`);
    entry.finish(error);
    await settled();
  };
  return { queue, timers, keys, finish, failures };
}

test('works on so many keys at once', async () => {
  const { queue, keys, finish } = createQueue(2);
  for (const key of ['a', 'b', 'c']) queue.add(key);
  assert.deepEqual(keys(), ['a', 'b']);
  await finish('a');
  assert.deepEqual(keys(), ['b', 'c']);
});

test('a key that is added twice is worked on once', async () => {
  const { queue, keys, finish } = createQueue(1);
  for (const key of ['a', 'b', 'b']) queue.add(key);
  await finish('a');
  await finish('b');
  assert.deepEqual(keys(), []);
  assert.equal(queue.size, 0);
});

test('a key that is added while it is worked on comes again, and never twice at once', async () => {
  const { queue, keys, finish } = createQueue(2);
  queue.add('a');
  queue.add('a');
  assert.deepEqual(keys(), ['a']);
  await finish('a');
  assert.deepEqual(keys(), ['a']);
});

test('a key that fails comes again later and later, and from the start after a success', async () => {
  const { queue, timers, finish, failures } = createQueue();
  queue.add('a');
  for (const wait of [200, 400, 800]) {
    await finish('a', new Error('work'));
    assert.deepEqual(timers.waits, [wait]);
    timers.advance(wait);
  }
  await finish('a');
  queue.add('a');
  await finish('a', new Error('work'));
  assert.deepEqual(timers.waits, [200]);
  assert.deepEqual(failures, [1, 2, 3, 1]);
});

test('a failed key that is added is tried at once', async () => {
  const { queue, timers, keys, finish } = createQueue();
  queue.add('a');
  await finish('a', new Error('work'));
  queue.add('a');
  assert.deepEqual(keys(), ['a']);
  assert.deepEqual(timers.waits, []);
});

test('stop waits for what runs, and begins nothing', async () => {
  const { queue, timers, keys, finish } = createQueue(1);
  for (const key of ['a', 'b']) queue.add(key);
  queue.addAfter('c', 1000);
  let stopped = false;
  const stopping = queue.stop().then(() => (stopped = true));
  await settled();
  assert.equal(stopped, false);
  await finish('a');
  await stopping;
  assert.deepEqual(keys(), []);
  assert.deepEqual(timers.waits, []);
});
