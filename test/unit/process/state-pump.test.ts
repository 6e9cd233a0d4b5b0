import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { DocumentChange, DocumentChanges } from '../../../src/config/mesh-input.ts';
import type { StagedState } from '../../../src/model/state-difference.ts';
import type { Condition } from '../../../src/model/workload.ts';
import { StatePump } from '../../../src/process/state-pump.ts';
import { createAgentMetrics } from '../../../src/telemetry/metrics.ts';
import { recordingLogger } from '../../support/loggers.ts';
import { settled } from '../../support/manual-timers.ts';
import { meshState } from '../../support/mesh-builders.ts';

const condition: Condition = {
  resource: 'AuthorizationPolicy default/p',
  type: 'T',
  reason: 'R',
  message: 'not at L4',
};

/** The end of a Pod; what is in a change is for deriving, which the tests bring themselves. */
function change(key: string): DocumentChange {
  return { kind: 'Pod', key, document: null };
}

function stagedState(overrides: Partial<StagedState> = {}): StagedState {
  const next = meshState();
  return {
    conditions: 0,
    newConditions: [],
    failures: [],
    commit: () => ({
      next,
      settingsChanged: false,
      workloads: [],
      services: [],
      policies: [],
      localPods: [],
      nodePods: [],
    }),
    ...overrides,
  };
}

interface PumpRig {
  readonly pump: StatePump;
  readonly metrics: ReturnType<typeof createAgentMetrics>;
  readonly records: ReturnType<typeof recordingLogger>['records'];
  /** Keys of each batch that was derived. */
  readonly batches: string[][];
  readonly applied: StagedState[];
}

interface Behaviour {
  readonly derive?: (changes: DocumentChanges) => StagedState;
  readonly apply?: () => Promise<void>;
}

function newPump({ derive = () => stagedState(), apply = () => Promise.resolve() }: Behaviour = {}): PumpRig {
  const metrics = createAgentMetrics('test');
  const { logger, records } = recordingLogger();
  const batches: string[][] = [];
  const applied: StagedState[] = [];
  const pump = new StatePump({
    derive: async (changes) => {
      batches.push(changes.map(({ key }) => key));
      return Promise.resolve(derive(changes));
    },
    apply: (staged) => {
      applied.push(staged);
      return apply();
    },
    logger,
    metrics,
  });
  return { pump, metrics, records, batches, applied };
}

suite('from documents to decisions', () => {
  test('what is submitted before the first state is in force waits for it', async () => {
    const { pump, batches, applied } = newPump();
    await pump.start([change('a')]);
    pump.submit([change('b')]);
    await settled();
    assert.deepEqual(batches, [['a']]);
    pump.open();
    await settled();
    assert.deepEqual(batches, [['a'], ['b']]);
    assert.equal(applied.length, 1);
  });

  test('batches are applied one after the other, and those that wait together', async () => {
    const finish: (() => void)[] = [];
    const { pump, batches } = newPump({ apply: () => new Promise((resolve) => finish.push(resolve)) });
    pump.open();
    pump.submit([change('a')]);
    pump.submit([change('b'), change('c')]);
    pump.submit([change('c'), change('d')]);
    await settled();
    assert.deepEqual(batches, [['a']]);
    finish[0]?.();
    await settled();
    assert.deepEqual(batches, [['a'], ['b', 'c', 'd']]);
  });

  test('is idle when nothing waits, and nothing is under way', async () => {
    const finish: (() => void)[] = [];
    const { pump } = newPump({ apply: () => new Promise((resolve) => finish.push(resolve)) });
    pump.open();
    await pump.idle();
    let idle = false;
    pump.submit([change('a')]);
    const waiting = pump.idle().then(() => (idle = true));
    await settled();
    pump.submit([change('b')]);
    finish[0]?.();
    await settled();
    assert.equal(idle, false);
    finish[1]?.();
    await waiting;
  });

  test('of the changes of one document that wait the last one counts', async () => {
    const seen: DocumentChanges[] = [];
    const { pump } = newPump({
      derive: (changes) => {
        seen.push(changes);
        return stagedState();
      },
    });
    const last = change('a');
    pump.submit([change('a')]);
    pump.submit([last]);
    pump.open();
    await settled();
    assert.equal(seen.length, 1);
    assert.equal(seen[0]?.[0], last);
  });

  test('a batch that fails is logged, and the next one is applied', async () => {
    let fail = true;
    const { pump, records, applied } = newPump({
      derive: () => {
        if (fail) throw new Error('broken');
        return stagedState();
      },
    });
    pump.open();
    pump.submit([change('a')]);
    await settled();
    fail = false;
    pump.submit([change('a')]);
    await settled();
    assert.equal(applied.length, 1);
    assert.equal(records[0]?.level, 'error');
  });

  test('conditions are counted, and told when they appear', async () => {
    const { pump, records, metrics } = newPump({
      derive: () => stagedState({ conditions: 3, newConditions: [condition] }),
    });
    await pump.start([]);
    assert.deepEqual(
      records.map(({ level, message, fields }) => [level, message, fields['resource']]),
      [['warn', 'not at L4', condition.resource]],
    );
    assert.match(await metrics.registry.metrics(), /ambit_conditions 3/);
  });

  test('an item that cannot be worked out is told, and the others are applied', async () => {
    const { pump, records, applied } = newPump({
      derive: () => stagedState({ failures: [{ item: 'services: a', error: new Error('broken') }] }),
    });
    pump.open();
    pump.submit([change('a')]);
    await settled();
    assert.deepEqual(
      records.map(({ level, fields }) => [level, fields['item']]),
      [['error', 'services: a']],
    );
    assert.equal(applied.length, 1);
  });
});
