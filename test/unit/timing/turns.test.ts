import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Turns } from '../../../src/timing/turns.ts';

/** Keeps the loop busy for so many milliseconds in each of its steps. */
function* busy(steps: number, milliseconds: number, note: () => void): Generator<undefined, number> {
  for (let step = 0; step < steps; step++) {
    const end = performance.now() + milliseconds;
    while (performance.now() < end);
    note();
    yield;
  }
  return steps;
}

function* once<T>(value: T): Generator<undefined, T> {
  yield;
  return value;
}

test('work gives its result', async () => {
  assert.equal(await new Turns().run(once('done'), 'soon'), 'done');
});

test('work that throws rejects, and the work beside it goes on', async () => {
  const turns = new Turns();
  const fails = turns.run(
    (function* () {
      yield;
      throw new RangeError('bad');
    })(),
    'bulk',
  );
  const other = turns.run(once(1), 'bulk');
  await assert.rejects(fails, RangeError);
  assert.equal(await other, 1);
});

test('however many work, others get the loop in between', async () => {
  const turns = new Turns();
  let steps = 0;
  const work = Array.from({ length: 20 }, () =>
    turns.run(
      busy(2, 2, () => steps++),
      'bulk',
    ),
  );
  let others = 0;
  const ticking = (): void => {
    others++;
    if (steps < 40) setImmediate(ticking);
  };
  setImmediate(ticking);
  await Promise.all(work);
  // 40 steps of 2 ms, at most 3 of them in a turn of 5 ms.
  assert.ok(others >= 13, `${others} turns for others`);
});

test('what is small goes before what is large', async () => {
  const turns = new Turns();
  const order: string[] = [];
  const large = turns
    .run(
      busy(20, 1, () => undefined),
      'bulk',
    )
    .then(() => order.push('large'));
  await turns.run(once(0), 'soon');
  order.push('small');
  await large;
  assert.deepEqual(order, ['small', 'large']);
});
