import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { backOffDelay } from '../../../src/timing/back-off.ts';
import { ConcurrencyLimit } from '../../../src/timing/concurrency-limit.ts';
import { withDeadline } from '../../../src/timing/deadline.ts';
import { Slices } from '../../../src/timing/slices.ts';
import { ManualTimers, settled } from '../../support/manual-timers.ts';

suite('back-off', () => {
  const options = { first: 100, longest: 1000, jitter: 0.2 };

  test('doubles up to the longest wait', () => {
    const delays = [1, 2, 3, 4, 5, 1000].map((failures) => backOffDelay(failures, options, () => 0.5));
    assert.deepEqual(delays, [100, 200, 400, 800, 1000, 1000]);
  });

  test('is spread by chance', () => {
    assert.equal(
      backOffDelay(1, options, () => 0),
      80,
    );
    assert.equal(
      backOffDelay(1, options, () => 1),
      120,
    );
  });
});

suite('a limit of tasks at once', () => {
  test('holds, keeps the order, and survives failures', async () => {
    const limit = new ConcurrencyLimit(2);
    const started: number[] = [];
    const finish: ((error?: Error) => void)[] = [];
    const results = [0, 1, 2, 3].map((index) =>
      limit.run(() => {
        started.push(index);
        return new Promise<void>((resolve, reject) => {
          finish[index] = (error) => {
            if (error === undefined) resolve();
            else reject(error);
          };
        });
      }),
    );
    await settled();
    assert.deepEqual(started, [0, 1]);
    const failed = assert.rejects(results[0] as Promise<void>, /broken/);
    finish[0]?.(new Error('broken'));
    await settled();
    assert.deepEqual(started, [0, 1, 2]);
    for (const index of [1, 2]) finish[index]?.();
    await settled();
    finish[3]?.();
    await Promise.all([failed, ...results.slice(1)]);
    assert.deepEqual(started, [0, 1, 2, 3]);
  });
});

suite('a deadline', () => {
  test('ends the wait and aborts the task', async () => {
    const timers = new ManualTimers();
    let seen: AbortSignal | null = null;
    const result = withDeadline(
      100,
      timers,
      () => new Error('too late'),
      (signal) => {
        seen = signal;
        return new Promise(() => undefined);
      },
    );
    const failed = assert.rejects(result, /too late/);
    timers.advance(100);
    await failed;
    assert.equal((seen as AbortSignal | null)?.aborted, true);
  });

  test('leaves no timer behind when the task was in time', async () => {
    const timers = new ManualTimers();
    assert.equal(
      await withDeadline(
        100,
        timers,
        () => new Error('too late'),
        () => Promise.resolve(7),
      ),
      7,
    );
    assert.deepEqual(timers.waits, []);
  });
});

test('long work lets others have their turn once its slice is used up', async () => {
  const slices = new Slices();
  let turns = 0;
  setImmediate(() => turns++);
  await slices.pause();
  assert.equal(turns, 0);
  const end = performance.now() + 11;
  while (performance.now() < end);
  assert.equal(slices.exhausted, true);
  await slices.pause();
  assert.equal(turns, 1);
  assert.equal(slices.exhausted, false);
});
