import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { StatePump } from '../../../src/process/state-pump.ts';
import type { ManifestProblem } from '../../../src/config/manifests/resources.ts';
import type { ManifestUpdate } from '../../../src/config/manifests/source.ts';
import type { Condition, MeshState } from '../../../src/model/workload.ts';
import { createAgentMetrics } from '../../../src/telemetry/metrics.ts';
import { recordingLogger } from '../../support/loggers.ts';
import { settled } from '../../support/manual-timers.ts';
import { meshState } from '../../support/mesh-builders.ts';

type Resources = ManifestUpdate['resources'];

function update(overrides: Partial<ManifestUpdate> = {}): ManifestUpdate {
  // What is in it is for deriving, which the tests bring themselves.
  return { resources: {} as Resources, problems: [], newProblems: [], changed: true, origin: 'path', ...overrides };
}

const problem = (severity: 'error' | 'warning', message: string): ManifestProblem => ({
  severity,
  message,
  file: 'mesh.yaml',
  line: 3,
  resource: 'Pod default/a',
  field: 'spec',
});

const condition: Condition = {
  resource: 'AuthorizationPolicy default/p',
  type: 'T',
  reason: 'R',
  message: 'not at L4',
};

function newPump(derive: (resources: Resources) => MeshState, apply: (state: MeshState) => Promise<void>) {
  const metrics = createAgentMetrics('test');
  const { logger, records } = recordingLogger();
  return {
    pump: new StatePump({ derive: async (resources) => Promise.resolve(derive(resources)), apply, logger, metrics }),
    metrics,
    records,
  };
}

suite('from manifests to state', () => {
  test('updates are applied one after the other, and of those that wait only the newest', async () => {
    const applied: MeshState[] = [];
    const finish: (() => void)[] = [];
    const states = new Map<Resources, MeshState>();
    const { pump } = newPump(
      (resources) => states.get(resources) ?? meshState(),
      (state) => {
        applied.push(state);
        return new Promise((resolve) => finish.push(resolve));
      },
    );
    const updates = [update(), update(), update()];
    for (const one of updates) {
      states.set(one.resources, meshState());
      pump.submit(one);
    }
    await settled();
    assert.equal(applied.length, 1);
    finish[0]?.();
    await settled();
    assert.deepEqual(applied.slice(1), [states.get((updates[2] as ManifestUpdate).resources)]);
    assert.equal(applied[1], states.get((updates[2] as ManifestUpdate).resources));
  });

  test('an update that fails is logged, and the next one is applied', async () => {
    let fail = true;
    let applied = 0;
    const { pump, records } = newPump(
      () => {
        if (fail) throw new Error('broken');
        return meshState();
      },
      () => {
        applied++;
        return Promise.resolve();
      },
    );
    pump.submit(update());
    await settled();
    fail = false;
    pump.submit(update());
    await settled();
    assert.equal(applied, 1);
    assert.equal(records[0]?.level, 'error');
  });

  test('new problems are told by their severity with their place, all errors counted', async () => {
    const { pump, records, metrics } = newPump(
      () => meshState(),
      () => Promise.resolve(),
    );
    const old = problem('error', 'old');
    await pump.derive(update({ problems: [old, problem('error', 'new')], newProblems: [problem('error', 'new')] }));
    assert.deepEqual(
      records.map(({ level, message, fields }) => [level, message, fields['line']]),
      [['error', 'new', 3]],
    );
    assert.match(await metrics.registry.metrics(), /ambit_manifest_errors 2/);
  });

  test('problems of an update that was skipped are still told', async () => {
    const { pump, records } = newPump(
      () => meshState(),
      () => Promise.resolve(),
    );
    pump.submit(update());
    pump.submit(update({ newProblems: [problem('warning', 'skipped')] }));
    pump.submit(update());
    await settled();
    assert.deepEqual(
      records.map(({ message }) => message),
      ['skipped'],
    );
  });

  test('an update that changes only the problems applies nothing', async () => {
    let applied = 0;
    const { pump, records } = newPump(
      () => meshState(),
      () => {
        applied++;
        return Promise.resolve();
      },
    );
    pump.submit(update({ changed: false, newProblems: [problem('error', 'new')] }));
    await settled();
    assert.equal(applied, 0);
    assert.equal(records.length, 1);
  });

  test('a condition is told once while it stands', async () => {
    const { pump, records } = newPump(
      () => ({ ...meshState(), conditions: [condition] }),
      () => Promise.resolve(),
    );
    await pump.derive(update());
    await pump.derive(update());
    assert.equal(records.length, 1);
    assert.equal(records[0]?.fields['resource'], condition.resource);
  });
});
