import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Question } from '../../../src/native/binding.ts';
import { PolicyGate } from '../../../src/ztunnel/policy-gate.ts';
import { ManualTimers } from '../../support/manual-timers.ts';

const inbound = (id: number, pod: string): Question => ({
  kind: 'inbound',
  id,
  pod,
  peer: null,
  source: '10.0.0.1',
  destination: '10.0.0.2',
  port: 80,
  transport: 'mutual_tls',
});

function newRig(...awaiting: readonly string[]) {
  const timers = new ManualTimers();
  const pods = new Set(awaiting);
  const asked: number[] = [];
  const gate = new PolicyGate({
    awaitsPolicies: (pod) => pods.has(pod),
    next: { submit: (questions) => asked.push(...questions.map(({ id }) => id)) },
    timers,
    patience: 4000,
  });
  return { timers, pods, asked, gate };
}

suite('policies that are not known yet', () => {
  test('hold back who wants to come into their pod, and nobody else', () => {
    const { gate, asked } = newRig('young');
    const outbound: Question = { kind: 'outbound', id: 3, pod: 'young', destination: '10.0.0.2', port: 80 };
    gate.submit([inbound(1, 'young'), inbound(2, 'old'), outbound]);
    assert.deepEqual(asked, [2, 3]);
  });

  test('let it be decided when they are known', () => {
    const { gate, asked, pods, timers } = newRig('young', 'younger');
    gate.submit([inbound(1, 'young'), inbound(2, 'younger')]);
    pods.delete('young');
    gate.changed();
    assert.deepEqual(asked, [1]);
    timers.advance(4000);
    assert.deepEqual(asked, [1, 2]);
  });

  test('let it be decided without them in the end', () => {
    const { gate, asked, timers } = newRig('young');
    gate.submit([inbound(1, 'young')]);
    gate.changed();
    timers.advance(3999);
    assert.deepEqual(asked, []);
    timers.advance(1);
    gate.changed();
    assert.deepEqual(asked, [1]);
  });

  test('leave nothing behind that would call back', () => {
    const { gate, asked, timers } = newRig('young');
    gate.submit([inbound(1, 'young')]);
    gate.stop();
    assert.deepEqual(timers.waits, []);
    assert.deepEqual(asked, []);
  });
});
