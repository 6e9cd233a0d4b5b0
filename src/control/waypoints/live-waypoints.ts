import { gatewayNameLabel } from '../../derive/waypoints/waypoint.ts';
import type { WatchingClient } from '../../kube/kube-client.ts';
import { objectKey } from '../../kube/objects.ts';
import type { KubeObject } from '../../kube/objects.ts';
import { Reflector } from '../../kube/reflector.ts';
import type { ReflectorObserver } from '../../kube/reflector.ts';
import { pathOfKind } from '../../kube/watched-kind.ts';
import type { Random, Timers } from '../../timing/timers.ts';
import { readGateway, readListenerSet } from './gateway-object.ts';
import type { GatewayObject, ListenerSetObject } from './gateway-object.ts';
import { gatewayApi, waypointKinds } from './waypoint-kinds.ts';
import { managedBy, managedLabel } from './object-metadata.ts';
import type { WaypointObject, WaypointObjectKind } from './object-metadata.ts';

export interface LiveWaypointsDependencies {
  readonly client: WatchingClient;
  readonly timers: Timers;
  readonly random: Random;
  readonly observe: (kind: string) => ReflectorObserver;
}

/** A class of Gateways, as far as it is of interest. */
export interface GatewayClassObject {
  readonly controllerName: string;
  readonly generation: number;
  /** The one of which somebody has said that it is taken care of; null: none. */
  readonly acceptedGeneration: number | null;
}

/** What of waypoints there is in the cluster: Gateways, their classes, and the objects that were made of them. */
export class LiveWaypoints {
  readonly gateways: Reflector<GatewayObject>;
  readonly classes: Reflector<GatewayClassObject>;
  readonly listenerSets: Reflector<ListenerSetObject>;
  readonly #objects: ReadonlyMap<WaypointObjectKind, Reflector<KubeObject>>;
  readonly #dependencies: LiveWaypointsDependencies;

  constructor(dependencies: LiveWaypointsDependencies) {
    this.#dependencies = dependencies;
    this.gateways = this.#reflect(gatewayApi, 'gateways', { mayBeAbsent: true, read: readGateway });
    this.classes = this.#reflect(gatewayApi, 'gatewayclasses', { mayBeAbsent: true, read: readClass });
    this.listenerSets = this.#reflect(gatewayApi, 'listenersets', { mayBeAbsent: true, read: readListenerSet });
    const watched = Object.entries(waypointKinds).filter(([, { always }]) => always);
    this.#objects = new Map(
      watched.map(([kind, { apiVersion, plural }]) => {
        const selectors = { labelSelector: `${managedLabel}=${managedBy}` };
        const reflector = this.#reflect(apiVersion, plural, { selectors, read: (object: KubeObject) => object });
        return [kind as WaypointObjectKind, reflector];
      }),
    );
  }

  /** Resolves when all is known. */
  get synced(): Promise<unknown> {
    return Promise.all(this.#all.map(({ synced }) => synced));
  }

  /** Resolves after the signal. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#all.map((reflector) => reflector.run(signal)));
  }

  /** Null where there is none that is labelled as a waypoint's. */
  get({ kind, metadata }: Pick<WaypointObject, 'kind' | 'metadata'>): KubeObject | null {
    return this.#objects.get(kind)?.get(objectKey(metadata)) ?? null;
  }

  /** Tells of each Gateway, by `namespace/name`, about which something has changed. */
  listen(onGateway: (key: string) => void): void {
    this.gateways.listen((changes) => {
      for (const { key } of changes) onGateway(key);
    });
    this.classes.listen(() => {
      for (const key of this.gateways.keys()) onGateway(key);
    });
    for (const reflector of this.#objects.values()) {
      reflector.listen((changes) => {
        for (const { before, after } of changes) {
          const { namespace = '', labels = {} } = (after ?? before)?.metadata ?? { name: '' };
          onGateway(`${namespace}/${labels[gatewayNameLabel] ?? ''}`);
        }
      });
    }
  }

  get #all(): readonly Pick<Reflector<unknown>, 'synced' | 'run'>[] {
    return [this.gateways, this.classes, this.listenerSets, ...this.#objects.values()];
  }

  #reflect<T>(
    apiVersion: string,
    plural: string,
    options: Pick<ConstructorParameters<typeof Reflector<T>>[0], 'read' | 'mayBeAbsent' | 'selectors'>,
  ): Reflector<T> {
    const { client, timers, random, observe } = this.#dependencies;
    const observer = observe(`waypoints: ${plural}`);
    return new Reflector<T>({
      client,
      path: pathOfKind({ apiVersion, plural }),
      timers,
      random,
      observer,
      ...options,
    });
  }
}

interface ClassParts {
  readonly metadata: { readonly generation?: number };
  readonly spec?: { readonly controllerName?: string };
  readonly status?: { readonly conditions?: readonly ClassCondition[] };
}

interface ClassCondition {
  readonly type?: string;
  readonly status?: string;
  readonly observedGeneration?: number;
}

function readClass(object: KubeObject): GatewayClassObject {
  const { metadata, spec, status } = object as KubeObject & ClassParts;
  const { generation = 1 } = metadata;
  const accepted = status?.conditions?.find(({ type, status: state }) => type === 'Accepted' && state === 'True');
  return {
    controllerName: spec?.controllerName ?? '',
    generation,
    acceptedGeneration: accepted === undefined ? null : (accepted.observedGeneration ?? generation),
  };
}
