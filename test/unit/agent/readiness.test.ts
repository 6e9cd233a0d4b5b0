import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { PodStatus } from '../../../src/agent/enrolment.ts';
import { Readiness } from '../../../src/agent/readiness.ts';
import type { ReadinessDependencies } from '../../../src/agent/readiness.ts';
import { ManualTimers, settled } from '../../support/manual-timers.ts';

const effective = { effective: true, missing: [], pods: 1 };

function newReadiness(overrides: Partial<ReadinessDependencies> = {}, startTasks: readonly string[] = []): Readiness {
  return new Readiness(
    {
      timers: new ManualTimers(),
      health: () => Promise.resolve(effective),
      pods: () => [],
      certificates: () => [],
      ...overrides,
    },
    startTasks,
  );
}

const podStatus = (overrides: Partial<PodStatus>): PodStatus => ({
  uid: 'u',
  name: 'default/a',
  wanted: true,
  awaited: false,
  enrolled: false,
  captured: false,
  failures: 0,
  lastError: null,
  ...overrides,
});

suite('readiness', () => {
  test('ready when nothing is missing', async () => {
    assert.deepEqual(await newReadiness().report(), { ready: true, pending: [] });
  });

  test('not before everything at start is done', async () => {
    const readiness = newReadiness({}, ['manifests', 'engine']);
    readiness.done('manifests');
    assert.deepEqual(await readiness.report(), { ready: false, pending: ['engine'] });
    readiness.done('engine');
    assert.equal((await readiness.report()).ready, true);
  });

  test('the kernel is asked each time, and what it misses is told', async () => {
    const answers = [effective, { effective: false, missing: ['sk_lookup of pod default/a'], pods: 1 }];
    const readiness = newReadiness({ health: () => Promise.resolve(answers.shift() ?? effective) });
    assert.equal((await readiness.report()).ready, true);
    assert.deepEqual(await readiness.report(), { ready: false, pending: ['sk_lookup of pod default/a'] });
  });

  test('an engine that does not answer in time is not ready', async () => {
    const timers = new ManualTimers();
    const readiness = newReadiness({ timers, health: () => new Promise(() => undefined) });
    const report = readiness.report();
    await settled();
    timers.advance(800);
    assert.match((await report).pending.join(), /no answer within 800 ms/);
  });

  test('a pod that was not tried yet holds back, one that failed is reported elsewhere', async () => {
    assert.deepEqual((await newReadiness({ pods: () => [podStatus({})] }).report()).pending, ['pod default/a']);
    assert.equal((await newReadiness({ pods: () => [podStatus({ failures: 1 })] }).report()).ready, true);
    assert.equal((await newReadiness({ pods: () => [podStatus({ wanted: false })] }).report()).ready, true);
  });

  test('a certificate that was not tried yet holds back', async () => {
    const certificate = { identity: 'spiffe://x', reason: null, certificateChain: null, roots: null, notAfter: null };
    const waiting = newReadiness({ certificates: () => [{ ...certificate, state: 'initializing' }] });
    assert.deepEqual((await waiting.report()).pending, ['certificate of spiffe://x']);
  });

  test('one that was never had is reported elsewhere, one that has expired holds back', async () => {
    const certificate = { identity: 'spiffe://x', state: 'unavailable', roots: null, notAfter: null } as const;
    const never = newReadiness({ certificates: () => [{ ...certificate, reason: 'down', certificateChain: null }] });
    assert.equal((await never.report()).ready, true);
    const expired = newReadiness({
      certificates: () => [{ ...certificate, reason: 'expired', certificateChain: 'PEM' }],
    });
    assert.deepEqual((await expired.report()).pending, ['certificate of spiffe://x: expired']);
  });

  test('an uncaught error makes unready for good', async () => {
    const readiness = newReadiness();
    readiness.setFault(new Error('broken'));
    assert.deepEqual((await readiness.report()).pending, ['uncaught error: broken']);
  });

  test('draining is not ready', async () => {
    const readiness = newReadiness();
    readiness.setDraining();
    assert.deepEqual((await readiness.report()).pending, ['draining']);
  });
});
