import { kindDefinitions } from '../../config/manifests/kinds.ts';
import type { KubeClient } from '../../kube/kube-client.ts';
import { isNotFound } from '../../kube/kube-error.ts';
import { WorkQueue } from '../../kube/work-queue.ts';
import { isKubeList } from '../../kube/objects.ts';
import { serverSideApply } from '../../kube/server-side-apply.ts';
import type { Condition } from '../../model/workload.ts';
import { pause } from '../../timing/pause.ts';
import type { Random, Timers } from '../../timing/timers.ts';
import { routeKinds, routeParents } from './route-status.ts';
import type { RouteObject } from './route-status.ts';

export interface StatusWriterDependencies {
  readonly client: Pick<KubeClient, 'send'>;
  readonly timers: Timers;
  readonly random: Random;
  /** Of a kind, `/apis/GROUP/VERSION/PLURAL` in the version that is served; null: nobody knows better than the table. */
  readonly pathOf: (kind: string) => string | null;
  readonly onWritten: () => void;
  readonly onFailure: (resource: string, error: unknown, failures: number) => void;
}

/** One condition of an object, as the API has it. */
export interface ApiCondition {
  readonly type: string;
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration?: number;
  readonly lastTransitionTime?: string;
  /** Of a route, where it is so of that parent alone; the API does not have it here. */
  readonly parent?: string;
}

type ListedObject = ApiObject & { readonly metadata: { readonly name: string; readonly namespace?: string } };

interface ApiObject {
  readonly metadata: { readonly generation?: number; readonly resourceVersion?: string };
  readonly status?: { readonly conditions?: readonly ApiCondition[] | null } | null;
}

/** Kinds whose status is ours to write in. */
export const statusPaths: Readonly<Record<string, string>> = {
  AuthorizationPolicy: 'apis/security.istio.io/v1 authorizationpolicies',
  PeerAuthentication: 'apis/security.istio.io/v1 peerauthentications',
  ServiceEntry: 'apis/networking.istio.io/v1 serviceentries',
  WorkloadEntry: 'apis/networking.istio.io/v1 workloadentries',
  Service: 'api/v1 services',
  RequestAuthentication: 'apis/security.istio.io/v1 requestauthentications',
  VirtualService: 'apis/networking.istio.io/v1 virtualservices',
  DestinationRule: 'apis/networking.istio.io/v1 destinationrules',
  IstioGateway: 'apis/networking.istio.io/v1 gateways',
  RateLimitPolicy: 'apis/ambit.dev/v1alpha1 ratelimitpolicies',
  HTTPRoute: 'apis/gateway.networking.k8s.io/v1 httproutes',
  GRPCRoute: 'apis/gateway.networking.k8s.io/v1 grpcroutes',
  TLSRoute: 'apis/gateway.networking.k8s.io/v1 tlsroutes',
  TCPRoute: 'apis/gateway.networking.k8s.io/v1 tcproutes',
};

const MANAGER = 'ambit-control';
/** A change of a mesh setting may touch every policy: the API server has better things to do. */
const BETWEEN_WRITES_MS = 50;
const LONGEST_MESSAGE = 32_768;
const PAGE = 500;
/** What is said of an object only for as long as it asks for something. */
const passingTypes: readonly string[] = ['istio.io/WaypointBound'];

/** Writes what becomes of an object into its status, where it says something else. For the leader only. */
export class StatusWriter {
  readonly #dependencies: StatusWriterDependencies;
  readonly #queue: WorkQueue;
  /** By `Kind namespace/name`. */
  #wanted: ReadonlyMap<string, readonly ApiCondition[]> = new Map();

  constructor(dependencies: StatusWriterDependencies) {
    this.#dependencies = dependencies;
    const { timers, random, onFailure } = dependencies;
    this.#queue = new WorkQueue({
      work: async (resource, signal) => {
        await this.#write(resource, signal);
        await pause(BETWEEN_WRITES_MS, timers, signal);
      },
      concurrency: 1,
      timers,
      random,
      onFailure,
    });
  }

  /** What the objects shall say from now on; those that are the same as before are not looked at, others say nothing any more. */
  update(wanted: ReadonlyMap<string, readonly ApiCondition[]>): void {
    const before = this.#wanted;
    this.#wanted = wanted;
    for (const [resource, conditions] of wanted) {
      if (JSON.stringify(before.get(resource)) !== JSON.stringify(conditions)) this.#queue.add(resource);
    }
    for (const resource of before.keys()) if (!wanted.has(resource)) this.#queue.add(resource);
  }

  /** Takes back what a former leader has said, and nothing says any more. @throws KubeError */
  async takeBack(signal: AbortSignal): Promise<void> {
    for (const kind of Object.keys(statusPaths)) {
      const place = placeOf(kind, this.#dependencies.pathOf);
      if (place === null) continue;
      for (const { metadata, status } of await this.#list(`/${place.base}/${place.plural}`, signal)) {
        const resource = `${kind} ${metadata.namespace ?? ''}/${metadata.name}`;
        const said = status?.conditions?.some(({ type }) => passingTypes.includes(type)) === true;
        if (said && !this.#wanted.has(resource)) this.#queue.add(resource);
      }
    }
  }

  stop(): Promise<void> {
    return this.#queue.stop();
  }

  /** None where the kind is not defined. */
  async #list(path: string, signal: AbortSignal): Promise<readonly ListedObject[]> {
    const { client } = this.#dependencies;
    const found: ListedObject[] = [];
    try {
      for (let next: string | null = ''; next !== null;) {
        const query = { limit: PAGE, ...(next === '' ? {} : { continue: next }) };
        const page: unknown = await client.send({ method: 'GET', path, query, signal });
        if (!isKubeList(page)) return found;
        found.push(...((page.items ?? []) as readonly ListedObject[]));
        next = page.metadata.continue ?? '';
        if (next === '') next = null;
      }
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    return found;
  }

  /** Others write into the same list: what has changed since it was read is read again. */
  async #writeParents(
    { path }: Target,
    current: ApiObject & RouteObject,
    wanted: readonly ApiCondition[],
    signal: AbortSignal,
  ): Promise<void> {
    const { client, onWritten, timers } = this.#dependencies;
    const parents = routeParents(current, wanted, timers.now());
    if (parents === null) return;
    const { resourceVersion } = current.metadata;
    await client.send({
      method: 'PATCH',
      path: `${path}/status`,
      query: { fieldManager: MANAGER },
      contentType: 'application/merge-patch+json',
      body: { metadata: { resourceVersion }, status: { parents } },
      signal,
    });
    onWritten();
  }

  async #write(resource: string, signal: AbortSignal): Promise<void> {
    const { client, onWritten, timers, pathOf } = this.#dependencies;
    const wanted = this.#wanted.get(resource) ?? [];
    const target = targetOf(resource, pathOf);
    if (target === null) return;
    try {
      const current = (await client.send({ method: 'GET', path: target.path, signal })) as ApiObject;
      if (routeKinds.includes(target.identity.kind)) {
        await this.#writeParents(target, current, wanted, signal);
        return;
      }
      const generation = current.metadata.generation;
      const conditions = merged(wanted, current.status?.conditions ?? [], timers.now(), generation);
      if (conditions === null) return;
      const body = { ...target.identity, status: { conditions } };
      const request = serverSideApply(`${target.path}/status`, body, { fieldManager: MANAGER, force: true });
      await client.send({ ...request, signal });
      onWritten();
    } catch (error) {
      // Gone meanwhile, and its status with it.
      if (!isNotFound(error)) throw error;
    }
  }
}

/**
 * From what is not honoured to what each object says: one condition of a type for each object and each parent of which something is
 * said by itself, true where there is nothing to say.
 *
 * @param accepted objects that are in force, each with the type of condition that says so
 * @param met what is so, of objects that have asked for it
 */
export function apiConditions(
  accepted: ReadonlyMap<string, string>,
  notes: readonly Condition[],
  met: readonly Condition[] = [],
): ReadonlyMap<string, readonly ApiCondition[]> {
  const byResource = new Map<string, Map<string, ApiCondition>>();
  const of = (resource: string): Map<string, ApiCondition> => {
    const known = byResource.get(resource) ?? new Map<string, ApiCondition>();
    byResource.set(resource, known);
    return known;
  };
  for (const [resource, type] of accepted) {
    of(resource).set(type, { type, status: 'True', reason: 'Accepted', message: 'in force as it is written' });
  }
  for (const { resource, type, reason, message, parent } of met) {
    if (!isWritten(resource)) continue;
    of(resource).set(keyOf(type, parent), { type, status: 'True', reason, message, ...at(parent) });
  }
  for (const { resource, type, reason, message, parent } of notes) {
    if (!isWritten(resource)) continue;
    const known = of(resource).get(keyOf(type, parent));
    const text = known?.status === 'False' ? `${known.message}; ${message}` : message;
    const first = known?.status === 'False' ? known.reason : reason;
    const told = { type, status: 'False' as const, reason: first, message: text.slice(0, LONGEST_MESSAGE) };
    of(resource).set(keyOf(type, parent), { ...told, ...at(parent) });
  }
  return new Map([...byResource].map(([resource, conditions]) => [resource, [...conditions.values()]]));
}

function keyOf(type: string, parent: string | undefined): string {
  return parent === undefined ? type : `${type} ${parent}`;
}

function at(parent: string | undefined): Pick<ApiCondition, 'parent'> {
  return parent === undefined ? {} : { parent };
}

interface Target {
  /** Of the object. */
  readonly path: string;
  readonly identity: {
    readonly apiVersion: string;
    readonly kind: string;
    readonly metadata: { readonly name: string; readonly namespace: string };
  };
}

/** Whether it is of a kind whose status we write. */
function isWritten(resource: string): boolean {
  return targetOf(resource, () => null) !== null;
}

function targetOf(resource: string, pathOf: StatusWriterDependencies['pathOf']): Target | null {
  const [kind = '', key = ''] = resource.split(' ');
  const [namespace = '', name = ''] = key.split('/');
  const place = placeOf(kind, pathOf);
  if (place === null || name === '') return null;
  const { base, plural } = place;
  const apiVersion = base.replace(/^apis?\//, '');
  const written = kindDefinitions.find((known) => known.kind === kind)?.written ?? kind;
  return {
    path: `/${base}/namespaces/${namespace}/${plural}/${name}`,
    identity: { apiVersion, kind: written, metadata: { name, namespace } },
  };
}

/** null: not a kind whose status we write. */
function placeOf(
  kind: string,
  pathOf: StatusWriterDependencies['pathOf'],
): { readonly base: string; readonly plural: string } | null {
  if (!Object.hasOwn(statusPaths, kind)) return null;
  const [base = '', plural = ''] = (statusPaths[kind] ?? '').split(' ');
  const served = pathOf(kind);
  return { base: served === null ? base : served.slice(1, -plural.length - 1), plural };
}

/** null: nothing is to be written. Conditions of others stay theirs, for the API server merges them by type. */
function merged(
  wanted: readonly ApiCondition[],
  current: readonly ApiCondition[],
  now: number,
  generation: number | undefined,
): readonly ApiCondition[] | null {
  const same = (left: ApiCondition | undefined, right: ApiCondition): boolean =>
    left?.status === right.status && left.reason === right.reason && left.message === right.message;
  const former = new Map(current.map((condition) => [condition.type, condition]));
  const isPast = passingTypes.some((type) => former.has(type) && wanted.every((condition) => condition.type !== type));
  if (!isPast && wanted.every((condition) => same(former.get(condition.type), condition))) return null;
  return wanted.map((condition) => {
    const before = former.get(condition.type);
    const since = before?.status === condition.status ? before.lastTransitionTime : undefined;
    return {
      ...condition,
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      lastTransitionTime: since ?? `${new Date(now).toISOString().slice(0, 19)}Z`,
    };
  });
}
