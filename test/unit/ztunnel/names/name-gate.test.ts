import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Question } from '../../../../src/native/binding.ts';
import { NameGate } from '../../../../src/ztunnel/names/name-gate.ts';
import { ManualTimers } from '../../../support/manual-timers.ts';
import { outboundQuestion } from '../waypoint-rig.ts';

function createRig(unresolved: (question: Question) => readonly string[]) {
  const submitted: number[] = [];
  const waiting = new Map<string, (() => void)[]>();
  const timers = new ManualTimers();
  const gate = new NameGate({
    plane: { unresolvedNames: unresolved, namespaceOf: () => 'shop' },
    resolver: {
      want: (name, _namespace, done) => {
        if (name === 'known') done();
        else waiting.set(name, [...(waiting.get(name) ?? []), done]);
      },
    },
    next: { submit: (questions) => submitted.push(...questions.map(({ id }) => id)), refuse: () => undefined },
    timers,
    patience: 4000,
  });
  const answer = (name: string): void => {
    for (const done of waiting.get(name) ?? []) done();
  };
  return { gate, submitted, timers, answer };
}

const asked = (id: number): Question => outboundQuestion({ id });

test('a question without names, or with known ones, goes on at once', () => {
  const { gate, submitted, timers } = createRig(({ id }) => (id === 1 ? [] : ['known']));
  gate.submit([asked(1), asked(2)]);
  assert.deepEqual([submitted, timers.waits], [[1, 2], []]);
});

test('a question waits for all of its names, and others do not wait for it', () => {
  const { gate, submitted, answer, timers } = createRig(({ id }) => (id === 1 ? ['a', 'b', 'known'] : []));
  gate.submit([asked(1), asked(2)]);
  answer('a');
  assert.deepEqual(submitted, [2]);
  answer('b');
  assert.deepEqual([submitted, timers.waits], [[2, 1], []]);
});

test('a question waits no longer than it may, and goes on once', () => {
  const { gate, submitted, answer, timers } = createRig(() => ['a']);
  gate.submit([asked(1)]);
  timers.advance(4000);
  answer('a');
  assert.deepEqual(submitted, [1]);
});

test('a question that cannot be looked at is left to who decides it', () => {
  const { gate, submitted } = createRig(() => {
    throw new Error('broken');
  });
  gate.submit([asked(1)]);
  assert.deepEqual(submitted, [1]);
});
