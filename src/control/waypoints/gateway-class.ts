import { gatewayClass, gatewayController } from '../../derive/gateways/gateway-class.ts';
import { waypointClass, waypointController } from '../../derive/waypoints/waypoint.ts';
import type { KubeClient } from '../../kube/kube-client.ts';
import type { Reflector } from '../../kube/reflector.ts';
import { WorkQueue } from '../../kube/work-queue.ts';
import { aborted } from '../../process/lifecycle.ts';
import type { Random, Timers } from '../../timing/timers.ts';
import { apply } from './apply.ts';
import { gatewayRole } from './gateway-role.ts';
import type { GatewayClassObject } from './live-waypoints.ts';
import { gatewayApi } from './waypoint-kinds.ts';

export interface GatewayClassDependencies {
  readonly client: Pick<KubeClient, 'send'>;
  readonly classes: Reflector<GatewayClassObject>;
  readonly timers: Timers;
  readonly random: Random;
  readonly onFailure: (name: string, error: unknown, failures: number) => void;
}

interface OwnClass {
  readonly controllerName: string;
  /** At most 64 bytes. */
  readonly description: string;
}

/** By their names, the classes that are made wherever the Gateway API is installed. */
export const ownClasses: ReadonlyMap<string, OwnClass> = new Map([
  [
    waypointClass,
    {
      controllerName: waypointController,
      description: 'A waypoint of the mesh, for services or pods that ask for it',
    },
  ],
  [
    gatewayClass,
    {
      controllerName: gatewayController,
      description: 'A gateway through which clients enter the mesh, or leave it',
    },
  ],
]);

/** The Gateway API may be installed at any time: that there is no class to be told of then is no change of any object. */
const LOOK_AGAIN_MS = 30_000;

export function pathOfClass(name: string): string {
  return `/apis/${gatewayApi}/gatewayclasses/${name}`;
}

/** Keeps the mesh's own classes in being, and accepts all of its controllers. For the leader only; resolves after the signal. */
export async function keepGatewayClasses(dependencies: GatewayClassDependencies, signal: AbortSignal): Promise<void> {
  const { client, classes, timers, random, onFailure } = dependencies;
  const queue = new WorkQueue({
    work: async (name) => {
      if (classes.state === 'absent') queue.addAfter(name, LOOK_AGAIN_MS);
      else await keep(client, name, classes.get(name), timers.now());
    },
    concurrency: 1,
    timers,
    random,
    onFailure,
  });
  const addAll = (): void => {
    for (const name of new Set([...ownClasses.keys(), ...classes.keys()])) queue.add(name);
  };
  await Promise.race([classes.synced, aborted(signal)]);
  addAll();
  classes.listen(addAll);
  await aborted(signal);
  await queue.stop();
}

async function keep(
  client: Pick<KubeClient, 'send'>,
  name: string,
  live: GatewayClassObject | null,
  now: number,
): Promise<void> {
  const identity = { apiVersion: gatewayApi, kind: 'GatewayClass', metadata: { name } };
  const spec = live ?? ownClasses.get(name);
  // One that somebody has made for a controller of their own is theirs.
  if (spec === undefined || gatewayRole(name, spec.controllerName) === null) return;
  if (live === null) await apply(client, pathOfClass(name), { ...identity, spec });
  if (live !== null && live.acceptedGeneration === live.generation) return;
  const accepted = {
    type: 'Accepted',
    status: 'True',
    reason: 'Accepted',
    message: 'its Gateways are deployed',
    observedGeneration: live?.generation ?? 1,
    lastTransitionTime: `${new Date(now).toISOString().slice(0, 19)}Z`,
  };
  await apply(client, `${pathOfClass(name)}/status`, { ...identity, status: { conditions: [accepted] } });
}
