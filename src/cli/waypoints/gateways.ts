import { AmbitError } from '../../config/errors.ts';
import { isWaypointClass, tunnelPort, waypointClass } from '../../derive/waypoints/waypoint.ts';
import { gatewayApi } from '../../control/waypoints/waypoint-kinds.ts';
import type { KubeClient } from '../../kube/kube-client.ts';
import { isForbidden, isNotFound } from '../../kube/kube-error.ts';
import { isKubeList } from '../../kube/objects.ts';
import { serverSideApply } from '../../kube/server-side-apply.ts';

export type Api = Pick<KubeClient, 'send'>;

/** A Gateway as the API server gives it. */
export interface LiveGateway {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly uid?: string;
    readonly generation?: number;
    readonly labels?: Labels;
  };
  readonly spec: { readonly gatewayClassName: string };
  readonly status?: { readonly conditions?: readonly LiveCondition[] };
}

export interface LiveCondition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
  readonly observedGeneration?: number;
}

interface LiveClass {
  readonly metadata: { readonly name: string; readonly labels?: Labels };
  readonly spec?: { readonly controllerName?: string };
}

type Labels = Readonly<Record<string, string>>;

export const trafficTypes = ['service', 'workload', 'all', 'none'] as const;
export type TrafficType = (typeof trafficTypes)[number];

export const forLabel = 'istio.io/waypoint-for';
export const revisionLabel = 'istio.io/rev';
export const useLabel = 'istio.io/use-waypoint';

/** What a waypoint is asked to be. */
export interface WaypointWish {
  readonly name: string;
  readonly namespace: string;
  /** null: nothing is said, which means `service`. */
  readonly trafficType: TrafficType | null;
  readonly revision: string | null;
}

/** A Gateway that asks for a waypoint. */
export function gatewayFor({ name, namespace, trafficType, revision }: WaypointWish): object {
  const labels = {
    ...(trafficType === null ? {} : { [forLabel]: trafficType }),
    ...(revision === null ? {} : { [revisionLabel]: revision }),
  };
  return {
    apiVersion: gatewayApi,
    kind: 'Gateway',
    metadata: { ...(Object.keys(labels).length === 0 ? {} : { labels }), name, namespace },
    spec: {
      gatewayClassName: waypointClass,
      listeners: [{ name: 'mesh', port: tunnelPort, protocol: 'HBONE' }],
    },
  };
}

/** The waypoints of a namespace, or of all. */
export class Waypoints {
  readonly #api: Api;
  #classes: Promise<ReadonlyMap<string, LiveClass>> | null = null;

  constructor(api: Api) {
    this.#api = api;
  }

  /** Null where there is no Gateway of that name. @throws AmbitError `GATEWAY_API_ABSENT`, `NO_WAYPOINT` */
  async find(namespace: string, name: string): Promise<LiveGateway | null> {
    const gateway = (await this.#get(`${pathIn(namespace)}/${name}`)) as LiveGateway | null;
    if (gateway === null) {
      // An absent kind is not found as well.
      await this.list(namespace);
      return null;
    }
    if (await this.#isWaypoint(gateway)) return gateway;
    const { gatewayClassName } = gateway.spec;
    throw new AmbitError(
      'NO_WAYPOINT',
      `the Gateway ${namespace}/${name} is of class ${gatewayClassName}: no waypoint`,
    );
  }

  /** By namespace and name. @param namespace null: of all. @throws AmbitError `GATEWAY_API_ABSENT` */
  async list(namespace: string | null): Promise<readonly LiveGateway[]> {
    const found = await this.#get(namespace === null ? `/apis/${gatewayApi}/gateways` : pathIn(namespace));
    if (!isKubeList(found)) {
      const advice = 'install its definitions, https://gateway-api.sigs.k8s.io/guides/#installing-gateway-api';
      throw new AmbitError('GATEWAY_API_ABSENT', `the cluster has no Gateway API: ${advice}`);
    }
    const gateways = (found.items ?? []) as readonly LiveGateway[];
    const waypoints = await Promise.all(gateways.map(async (one) => ((await this.#isWaypoint(one)) ? [one] : [])));
    return waypoints.flat().toSorted((left, right) => keyOf(left).localeCompare(keyOf(right)));
  }

  /** Makes it, or makes it what it is asked to be. */
  async apply(wish: WaypointWish): Promise<void> {
    await this.find(wish.namespace, wish.name);
    const path = `${pathIn(wish.namespace)}/${wish.name}`;
    await this.#api.send(serverSideApply(path, gatewayFor(wish), { fieldManager: 'ambit', force: true }));
  }

  /** As it was when it was seen: another one of the same name stays. */
  async delete({ metadata: { namespace, name, uid } }: LiveGateway): Promise<void> {
    const body = uid === undefined ? {} : { preconditions: { uid } };
    await this.#api.send({ method: 'DELETE', path: `${pathIn(namespace)}/${name}`, body });
  }

  /** What it is for, in the words of its label or of its class. */
  async trafficTypeOf({ metadata, spec }: LiveGateway): Promise<string> {
    const gatewayClass = (await this.#knownClasses()).get(spec.gatewayClassName);
    return metadata.labels?.[forLabel] ?? gatewayClass?.metadata.labels?.[forLabel] ?? 'service';
  }

  async #isWaypoint({ spec: { gatewayClassName } }: LiveGateway): Promise<boolean> {
    const gatewayClass = (await this.#knownClasses()).get(gatewayClassName);
    return isWaypointClass(gatewayClassName, gatewayClass?.spec?.controllerName ?? null);
  }

  #knownClasses(): Promise<ReadonlyMap<string, LiveClass>> {
    this.#classes ??= this.#readClasses();
    return this.#classes;
  }

  /** They are the cluster's, and whoever has rights in a namespace alone may not see them: then the usual one counts by its name. */
  async #readClasses(): Promise<ReadonlyMap<string, LiveClass>> {
    try {
      const found = await this.#get(`/apis/${gatewayApi}/gatewayclasses`);
      const items = isKubeList(found) ? ((found.items ?? []) as readonly LiveClass[]) : [];
      return new Map(items.map((one) => [one.metadata.name, one]));
    } catch (error) {
      if (isForbidden(error)) return new Map();
      throw error;
    }
  }

  async #get(path: string): Promise<unknown> {
    try {
      return await this.#api.send({ method: 'GET', path });
    } catch (error) {
      if (isNotFound(error)) return null;
      throw error;
    }
  }
}

export function keyOf({ metadata }: LiveGateway): string {
  return `${metadata.namespace}/${metadata.name}`;
}

/** What its deployer says of it, of its present wishes. */
export function programmed({ metadata, status }: LiveGateway): LiveCondition | null {
  const found = status?.conditions?.find(({ type }) => type === 'Programmed');
  return found === undefined || (found.observedGeneration ?? 0) < (metadata.generation ?? 0) ? null : found;
}

function pathIn(namespace: string): string {
  return `/apis/${gatewayApi}/namespaces/${namespace}/gateways`;
}
