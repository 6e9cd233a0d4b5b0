import { Server, ServerCredentials } from '@grpc/grpc-js';

import { DiscoveryService } from '../../../src/control/discovery/discovery-service.ts';
import type { TypeStatus } from '../../../src/control/discovery/delta-stream.ts';
import { resourceKey } from '../../../src/control/envoy/waypoint-resource.ts';
import type { ResourceType } from '../../../src/control/envoy/resource-types.ts';
import type { WaypointResource } from '../../../src/control/envoy/waypoint-resource.ts';
import { WaypointStore } from '../../../src/control/envoy/waypoint-store.ts';
import { ResourceStore } from '../../../src/control/resources/resource-store.ts';
import type { Condition } from '../../../src/model/workload.ts';
import { systemTimers } from '../../../src/timing/timers.ts';
import { recordingLogger } from '../loggers.ts';

const waypoint = 'shop/waypoint';

/** The control plane's service for Envoys, with resources that were made by hand instead of from manifests. */
export class HandBuiltControl {
  readonly waypoint = waypoint;
  readonly #store = new WaypointStore();
  readonly #server = new Server();
  readonly #discovery: DiscoveryService;
  #port = 0;

  static async start(): Promise<HandBuiltControl> {
    const control = new HandBuiltControl();
    const { definition } = control.#discovery;
    control.#server.addService(
      definition,
      control.#discovery.implementation(() => Promise.resolve({ kind: 'local' })),
    );
    control.#port = await new Promise<number>((resolve, reject) => {
      control.#server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
        if (error === null) resolve(port);
        else reject(error);
      });
    });
    return control;
  }

  private constructor() {
    const nothing = () => undefined;
    this.#discovery = new DiscoveryService({
      store: new ResourceStore(),
      waypoints: this.#store,
      presence: null,
      identifier: 'test',
      timers: systemTimers,
      random: () => 0.5,
      maximumAge: 600_000,
      logger: recordingLogger().logger,
      observer: { pushed: nothing, acknowledged: nothing, rejected: nothing, connected: nothing },
    });
  }

  get port(): number {
    return this.#port;
  }

  set(...resources: readonly WaypointResource[]): void {
    const change = (after: WaypointResource) => ({ key: resourceKey(waypoint, after), before: null, after });
    this.#store.commit(resources.map(change), []);
  }

  status(type: ResourceType): TypeStatus | undefined {
    return this.#discovery.status()[0]?.types.find((status) => status.type === type);
  }

  conditions(): readonly Condition[] {
    return this.#discovery.conditions();
  }

  stop(): void {
    this.#discovery.stop();
    this.#server.forceShutdown();
  }
}
