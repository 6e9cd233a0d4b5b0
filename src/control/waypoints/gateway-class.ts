import { waypointClass, waypointController } from '../../derive/waypoints/waypoint.ts';
import type { KubeClient } from '../../kube/kube-client.ts';
import type { Reflector } from '../../kube/reflector.ts';
import { WorkQueue } from '../../kube/work-queue.ts';
import { aborted } from '../../process/lifecycle.ts';
import type { Random, Timers } from '../../timing/timers.ts';
import { apply } from './apply.ts';
import type { GatewayClassObject } from './live-waypoints.ts';
import { gatewayApi } from './waypoint-kinds.ts';

export interface GatewayClassDependencies {
  readonly client: Pick<KubeClient, 'send'>;
  readonly classes: Reflector<GatewayClassObject>;
  readonly timers: Timers;
  readonly random: Random;
  readonly onFailure: (name: string, error: unknown, failures: number) => void;
}

/** The Gateway API may be installed at any time: that there is no class to be told of then is no change of any object. */
const LOOK_AGAIN_MS = 30_000;
export const classPath = `/apis/${gatewayApi}/gatewayclasses/${waypointClass}`;

/** Keeps the class of waypoints in being, and accepted. For the leader only; resolves after the signal. */
export async function keepGatewayClass(dependencies: GatewayClassDependencies, signal: AbortSignal): Promise<void> {
  const { client, classes, timers, random, onFailure } = dependencies;
  const queue = new WorkQueue({
    work: async (name) => {
      if (classes.state === 'absent') queue.addAfter(name, LOOK_AGAIN_MS);
      else await keep(client, classes.get(waypointClass), timers.now());
    },
    concurrency: 1,
    timers,
    random,
    onFailure,
  });
  await Promise.race([classes.synced, aborted(signal)]);
  queue.add(waypointClass);
  classes.listen(() => {
    queue.add(waypointClass);
  });
  await aborted(signal);
  await queue.stop();
}

async function keep(client: Pick<KubeClient, 'send'>, live: GatewayClassObject | null, now: number): Promise<void> {
  const identity = { apiVersion: gatewayApi, kind: 'GatewayClass', metadata: { name: waypointClass } };
  // At most 64 bytes.
  const description = 'A waypoint of the mesh, for services or pods that ask for it';
  if (live === null)
    await apply(client, classPath, { ...identity, spec: { controllerName: waypointController, description } });
  // One that somebody has made for a controller of their own is theirs.
  if (live?.accepted === true || (live !== null && live.controllerName !== waypointController)) return;
  const accepted = {
    type: 'Accepted',
    status: 'True',
    reason: 'Accepted',
    message: 'its Gateways are deployed as waypoints',
    observedGeneration: 1,
    lastTransitionTime: `${new Date(now).toISOString().slice(0, 19)}Z`,
  };
  await apply(client, `${classPath}/status`, { ...identity, status: { conditions: [accepted] } });
}
