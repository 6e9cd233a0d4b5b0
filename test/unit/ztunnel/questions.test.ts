import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Answer, Question } from '../../../src/native/binding.ts';
import { createAgentMetrics } from '../../../src/telemetry/metrics.ts';
import { QuestionAnswerer } from '../../../src/ztunnel/questions.ts';
import type { Decider } from '../../../src/ztunnel/questions.ts';
import { recordingLogger } from '../../support/loggers.ts';
import { ManualTimers, settled } from '../../support/manual-timers.ts';

const question = (id: number): Question => ({ kind: 'outbound', id, pod: 'p', destination: '10.0.0.1', port: 80 });

const answerTo = (asked: Question, reason: string | null): Answer => ({
  kind: 'outbound',
  id: asked.id,
  generation: 1,
  keys: [],
  mask: { prefixLength: 32, anyPort: false, anyDestination: true },
  action: reason === null ? 'passthrough' : 'deny',
  endpointSet: null,
  allowLocal: false,
  authority: null,
  relay: null,
  service: null,
  workload: null,
  reason,
});

function newRig(decide: (asked: Question) => Answer) {
  const timers = new ManualTimers();
  const metrics = createAgentMetrics('test');
  const batches: number[][] = [];
  const reasons: (string | null)[] = [];
  const { logger, records } = recordingLogger();
  const rig = { timers, metrics, batches, reasons, records, retries: 0 };
  const decider: Decider = {
    decide,
    denyFailed: (asked) => answerTo(asked, 'decision_failed'),
    retryFailed: () => {
      rig.retries++;
    },
  };
  const answerer = new QuestionAnswerer({
    decider,
    metrics,
    logger,
    later: (milliseconds, callback) => void timers.after(milliseconds, callback),
    engine: {
      answer: (answers) => {
        batches.push(answers.map(({ id }) => id));
        reasons.push(...answers.map(({ reason }) => reason));
      },
    },
  });
  return { ...rig, answerer, retried: () => rig.retries };
}

/** Longer than a slice, without a sleep. */
function workFor(milliseconds: number): void {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}

suite('answering questions', () => {
  test('a batch is answered at once, in order, by one call', () => {
    const rig = newRig((asked) => answerTo(asked, null));
    rig.answerer.submit([question(1), question(2), question(3)]);
    assert.deepEqual(rig.batches, [[1, 2, 3]]);
  });

  test('long work gives way, and hands over first what it has', async () => {
    const rig = newRig((asked) => {
      workFor(6);
      return answerTo(asked, null);
    });
    let seenByOthers: number[][] = [];
    setImmediate(() => {
      seenByOthers = rig.batches.map((batch) => [...batch]);
    });
    rig.answerer.submit([question(1), question(2), question(3), question(4)]);
    rig.answerer.submit([question(5)]);
    await settled();
    while (rig.batches.flat().length < 5) await settled();
    assert.deepEqual(rig.batches.flat(), [1, 2, 3, 4, 5]);
    // How many fit a slice is the machine's matter; that others had their turn in between, with answers out, is ours.
    const seen = seenByOthers.flat().length;
    assert.ok(seen > 0 && seen < 4, `${seen} answers out when others had their turn`);
  });

  test('a question that cannot be decided is denied, counted, and does not harm the others', async () => {
    const rig = newRig((asked) => {
      if (asked.id === 2) throw new Error('broken');
      return answerTo(asked, null);
    });
    rig.answerer.submit([question(1), question(2), question(3)]);
    assert.deepEqual(rig.reasons, [null, 'decision_failed', null]);
    assert.match(await rig.metrics.registry.metrics(), /ambit_upcall_failures_total 1/);
    assert.equal(rig.records[0]?.level, 'error');
  });

  test('what failed is tried again after a second, once for many', () => {
    const rig = newRig(() => {
      throw new Error('broken');
    });
    rig.answerer.submit([question(1), question(2)]);
    assert.equal(rig.retried(), 0);
    rig.timers.advance(1000);
    assert.equal(rig.retried(), 1);
  });

  test('an engine that takes no answers is logged, and later questions are answered again', async () => {
    const metrics = createAgentMetrics('test');
    const { logger, records } = recordingLogger();
    let broken = true;
    const answered: number[] = [];
    const answerer = new QuestionAnswerer({
      decider: {
        decide: (asked) => answerTo(asked, null),
        denyFailed: (asked) => answerTo(asked, 'decision_failed'),
        retryFailed: () => undefined,
      },
      metrics,
      logger,
      later: () => undefined,
      engine: {
        answer: (answers) => {
          if (broken) throw new Error('ILLEGAL_STATE');
          answered.push(...answers.map(({ id }) => id));
        },
      },
    });
    answerer.submit([question(1)]);
    broken = false;
    await settled();
    answerer.submit([question(2)]);
    assert.deepEqual(answered, [2]);
    assert.equal(records[0]?.level, 'error');
  });
});
