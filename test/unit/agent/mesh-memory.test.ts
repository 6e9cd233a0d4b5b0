import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { MeshMemory } from '../../../src/agent/mesh-memory.ts';
import { createAgentMetrics } from '../../../src/telemetry/metrics.ts';
import { typeUrls } from '../../../src/wds/names.ts';
import { saveKeptState } from '../../../src/xds/kept-state.ts';
import { MeshReplica } from '../../../src/xds/mesh-replica.ts';
import { encodeResource } from '../../../src/xds/resources.ts';
import { silentLogger } from '../../support/loggers.ts';
import { ManualTimers } from '../../support/manual-timers.ts';
import { meshSettings, workload } from '../../support/mesh-builders.ts';

const one = workload('one');
const owner = { node: 'node-1', clusterId: 'Kubernetes', version: '2', control: 'control:15012', onDemand: false };

for (const [whose, version, held] of [
  ['of the same version counts as held', '2', 'v1'],
  ['of another version is in force, and comes once more', '1', null],
] as const) {
  test(`what an agent ${whose}`, async (context) => {
    const stateDir = mkdtempSync(join(tmpdir(), 'ambit-memory-'));
    context.after(() => {
      rmSync(stateDir, { recursive: true });
    });
    const value = encodeResource({ kind: 'workload', key: one.uid, value: one }, '');
    const header = { ...owner, version, own: true, addresses: [], asOf: 0 };
    const kept = { typeUrl: typeUrls.address, name: one.uid, version: 'v1', value };
    await saveKeptState(join(stateDir, 'control-state'), header, [kept]);
    const replica = new MeshReplica(meshSettings());
    const recalled: unknown[] = [];
    const memory = new MeshMemory({
      stateDir,
      owner,
      maxAge: 1000,
      client: {
        *held() {
          // Nothing has come over a connection.
        },
        recall: (_typeUrl, name, { version }) => recalled.push([name, version]),
        forgetOwn: () => [],
        status: () => ({ connected: false, awaySince: 0, own: false, failures: 0, lastError: null }),
      },
      replica,
      addresses: null,
      timers: new ManualTimers(),
      metrics: createAgentMetrics('test'),
      logger: silentLogger,
    });
    assert.equal(await memory.recall(), true);
    assert.deepEqual(recalled, [[one.uid, held]]);
    assert.ok(replica.state.workloads.has(one.uid));
  });
}
