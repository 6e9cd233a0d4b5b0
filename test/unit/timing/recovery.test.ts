import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Recovery } from '../../../src/timing/recovery.ts';
import { ManualTimers, settled } from '../../support/manual-timers.ts';

const half = (): number => 0.5;
const never = new AbortController().signal;

test('a pause takes its time while nobody is answered', async () => {
  const timers = new ManualTimers(1000);
  const paused = new Recovery(timers).pause(30_000, 1000, half, never);
  assert.deepEqual(timers.waits, [30_000]);
  timers.advance(30_000);
  assert.equal(await paused, false);
});

test('the first one that is answered wakes all others, spread over a moment', async () => {
  const timers = new ManualTimers(1000);
  const recovery = new Recovery(timers);
  const paused = [0.1, 0.5, 0.9].map((random) => recovery.pause(30_000, 1000, () => random, never));
  recovery.recovered();
  await settled();
  assert.deepEqual(timers.waits, [200, 1000, 1800]);
  timers.advance(1800);
  assert.deepEqual(await Promise.all(paused), [true, true, true]);
});

test('who asked before the server came back and fails after that pauses for a moment only', async () => {
  const timers = new ManualTimers(1000);
  const recovery = new Recovery(timers);
  timers.advance(500);
  recovery.recovered();
  const paused = recovery.pause(30_000, 1000, half, never);
  assert.deepEqual(timers.waits, [1000]);
  timers.advance(1000);
  assert.equal(await paused, true);
});

test('recovering again and again wakes nobody twice within five seconds', async () => {
  const timers = new ManualTimers(1000);
  const recovery = new Recovery(timers);
  recovery.recovered();
  timers.advance(100);
  void recovery.pause(30_000, 1100, half, never);
  recovery.recovered();
  await settled();
  assert.deepEqual(timers.waits, [30_000]);
  timers.advance(5000);
  recovery.recovered();
  await settled();
  assert.deepEqual(timers.waits, [1000]);
});

test('the signal ends a pause', async () => {
  const timers = new ManualTimers(1000);
  const ending = new AbortController();
  const paused = new Recovery(timers).pause(30_000, 1000, half, ending.signal);
  ending.abort();
  assert.equal(await paused, false);
  assert.deepEqual(timers.waits, []);
});
