import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { MeshState } from '../../../src/model/workload.ts';
import { createAgentMetrics } from '../../../src/telemetry/metrics.ts';
import type { AgentMetrics } from '../../../src/telemetry/metrics.ts';
import { systemTimers } from '../../../src/timing/timers.ts';
import type { ControlAccess } from '../../../src/xds/channel.ts';
import { MeshReplica } from '../../../src/xds/mesh-replica.ts';
import { XdsClient } from '../../../src/xds/xds-client.ts';
import type { XdsClientDependencies } from '../../../src/xds/xds-client.ts';
import { FakeControlPlane } from '../../support/control-plane.ts';
import type { ControlPlaneOptions } from '../../support/control-plane.ts';
import { recordingLogger } from '../../support/loggers.ts';
import type { LogRecord } from '../../support/loggers.ts';
import { meshSettings } from '../../support/mesh-builders.ts';
import { waitFor } from '../../support/wait.ts';

export const TOKEN = 'first.token.value';

/** A client of a fake control plane, and the state that it has given. */
export interface XdsRig {
  readonly control: FakeControlPlane;
  readonly client: XdsClient;
  readonly replica: MeshReplica;
  readonly state: () => MeshState;
  readonly metrics: AgentMetrics;
  readonly records: readonly LogRecord[];
  readonly answered: readonly string[];
  readonly synced: () => number;
  readonly folder: string;
  /** Waits until the condition holds. */
  readonly until: (condition: () => unknown) => Promise<void>;
  readonly run: () => void;
  readonly stop: () => Promise<void>;
}

export interface RigOptions {
  readonly control?: Partial<ControlPlaneOptions>;
  readonly access?: Partial<ControlAccess>;
  readonly client?: Partial<XdsClientDependencies>;
}

/** The control plane listens, the client waits for `run`. Stops both after the test, and fails it if something is left. */
export async function newXdsRig(context: TestContext, options: RigOptions = {}): Promise<XdsRig> {
  const folder = mkdtempSync(join(tmpdir(), 'ambit-xds-'));
  writeFileSync(join(folder, 'token'), `${TOKEN}\n`);
  const control = new FakeControlPlane(options.control);
  await control.start();
  const replica = new MeshReplica(meshSettings());
  const metrics = createAgentMetrics('test');
  const { logger, records } = recordingLogger();
  const answered: string[] = [];
  let synced = 0;
  const access: ControlAccess = {
    endpoint: { target: control.address, tls: options.control?.tls != null },
    rootFile: null,
    tokenFile: join(folder, 'token'),
    token: null,
    headers: [],
    serverName: null,
    clusterId: 'Kubernetes',
    ...options.access,
  };
  const client = new XdsClient({
    access,
    node: {
      id: 'ztunnel~10.0.0.9~agent.istio-system~istio-system.svc.cluster.local',
      metadata: { NODE_NAME: 'node-1' },
    },
    demanded: null,
    network: () => replica.state.settings.network,
    apply: (changes) => {
      replica.apply(changes);
      return Promise.resolve();
    },
    onSynced: () => synced++,
    onEnded: () => undefined,
    onAnswered: (_typeUrl, absent) => answered.push(...absent),
    companion: null,
    timers: systemTimers,
    random: () => 0.5,
    logger,
    metrics,
    ...options.client,
  });
  const ending = new AbortController();
  let running: Promise<void> = Promise.resolve();
  let stopped = false;
  const stop = async (): Promise<void> => {
    if (stopped) return;
    stopped = true;
    ending.abort();
    await running;
    await control.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  context.after(stop);
  return {
    control,
    client,
    replica,
    state: () => replica.state,
    metrics,
    records,
    answered,
    synced: () => synced,
    folder,
    until: async (condition) => {
      await waitFor(condition, { interval: 2, timeout: 5000, what: condition.toString() });
    },
    run: () => {
      running = client.run(ending.signal);
    },
    stop,
  };
}
