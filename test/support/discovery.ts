import type { TestContext } from 'node:test';
import { ServerCredentials } from '@grpc/grpc-js';
import type { Caller } from '../../src/control/caller.ts';
import { DiscoveryService } from '../../src/control/discovery/discovery-service.ts';
import { GrpcServer } from '../../src/control/grpc-server.ts';
import { ResourceStore } from '../../src/control/resources/resource-store.ts';
import { WaypointStore } from '../../src/control/envoy/waypoint-store.ts';
import type { MeshState } from '../../src/model/workload.ts';
import { differenceOf } from '../../src/ztunnel/state-difference.ts';
import { recordingLogger } from './loggers.ts';
import type { LogRecord } from './loggers.ts';
import { ManualTimers } from './manual-timers.ts';
import { meshState, NODE } from './mesh-builders.ts';
import { waitFor } from './wait.ts';
import { XdsClient } from './xds-client.ts';
import type { XdsClientOptions } from './xds-client.ts';

/** A store that takes whole states. */
export class StateStore {
  readonly store = new ResourceStore();
  #state = meshState();
  #first = true;

  async set(state: MeshState): Promise<void> {
    const difference = await differenceOf(this.#state, state);
    this.#state = state;
    await this.store.commit({ ...difference, settingsChanged: difference.settingsChanged || this.#first });
    this.#first = false;
  }
}

/** The discovery service on a real socket. Connections that are left at the end of a test fail it. */
export class DiscoveryHarness extends StateStore {
  readonly waypoints = new WaypointStore();
  readonly timers = new ManualTimers();
  readonly rejections: string[] = [];
  /** Who came and went. */
  readonly present: string[] = [];
  readonly logs: readonly LogRecord[];
  readonly service: DiscoveryService;
  caller: Caller = { kind: 'node', node: NODE };
  readonly #server: GrpcServer;
  readonly #clients: XdsClient[] = [];
  #port = 0;

  static async start(test: TestContext, state: MeshState = meshState()): Promise<DiscoveryHarness> {
    const harness = new DiscoveryHarness();
    harness.#port = await harness.#server.start();
    await harness.set(state);
    test.after(() => harness.#stop());
    return harness;
  }

  private constructor() {
    super();
    const { logger, records } = recordingLogger();
    this.logs = records;
    this.service = new DiscoveryService({
      store: this.store,
      waypoints: this.waypoints,
      identifier: 'ambit-control/test',
      timers: this.timers,
      random: () => 0.5,
      maximumAge: 60_000,
      logger,
      observer: {
        pushed: () => undefined,
        acknowledged: () => undefined,
        rejected: (type) => this.rejections.push(type),
        connected: () => undefined,
      },
      presence: {
        agent: (node, connected) => this.present.push(`${node} ${connected ? 'came' : 'went'}`),
        proxy: (pod, { serviceAccount }, event) => this.present.push(`${serviceAccount} ${pod} ${event}`),
      },
    });
    const { definition } = this.service;
    this.#server = new GrpcServer({
      name: 'test',
      host: '127.0.0.1',
      port: 0,
      credentials: ServerCredentials.createInsecure(),
      services: [{ definition, implementation: this.service.implementation(() => Promise.resolve(this.caller)) }],
    });
  }

  client(options: XdsClientOptions = {}): XdsClient {
    const client = new XdsClient(this.#port, options);
    this.#clients.push(client);
    return client;
  }

  async #stop(): Promise<void> {
    for (const client of this.#clients) client.close();
    await waitFor(() => this.service.status().length === 0, { interval: 2, what: 'the end of all streams' });
    await this.#server.stop();
  }
}
