import { isDeepStrictEqual } from 'node:util';
import type { ApiCondition } from './status-writer.ts';

/** Kinds whose conditions stand with each of their parents. */
export const routeKinds: readonly string[] = ['HTTPRoute', 'GRPCRoute', 'TLSRoute', 'TCPRoute'];

/** Ours among those who write about parents. */
const controllerName = 'istio.io/mesh-controller';

interface ParentReference {
  readonly group?: string;
  readonly kind?: string;
  readonly name: string;
}

export interface ParentStatus {
  readonly parentRef: ParentReference;
  readonly controllerName: string;
  readonly conditions?: readonly ApiCondition[] | null;
}

export interface RouteObject {
  readonly metadata: { readonly generation?: number };
  readonly spec?: { readonly parentRefs?: readonly ParentReference[] | null } | null;
  readonly status?: { readonly parents?: readonly ParentStatus[] | null } | null;
}

const accepted: ApiCondition = {
  type: 'Accepted',
  status: 'True',
  reason: 'Accepted',
  message: 'in force as it is written',
};
const resolved: ApiCondition = {
  type: 'ResolvedRefs',
  status: 'True',
  reason: 'ResolvedRefs',
  message: 'everything that it names is there',
};

/**
 * All that is said of a route's parents: what others say of theirs, and of each service the same. The list is one field to the API
 * server, so it is written as a whole. null: nothing is to be written.
 *
 * @param wanted what is not honoured of the route. @param now milliseconds since the epoch
 */
export function routeParents(
  { metadata, spec, status }: RouteObject,
  wanted: readonly ApiCondition[],
  now: number,
): readonly ParentStatus[] | null {
  const former = status?.parents ?? [];
  const own = former.filter((parent) => parent.controllerName === controllerName);
  const said = [accepted, resolved].filter(({ type }) => wanted.every((condition) => condition.type !== type));
  const parents = (spec?.parentRefs ?? []).filter(isService).map((parentRef): ParentStatus => {
    const before = own.find((parent) => isDeepStrictEqual(parent.parentRef, parentRef))?.conditions ?? [];
    const conditions = [...said, ...wanted].map((condition) => dated(condition, before, metadata.generation, now));
    return { parentRef, controllerName, conditions };
  });
  if (isDeepStrictEqual(own, parents)) return null;
  return [...former.filter((parent) => parent.controllerName !== controllerName), ...parents];
}

function isService({ group = 'gateway.networking.k8s.io', kind = 'Gateway' }: ParentReference): boolean {
  return kind === 'Service' ? group === '' || group === 'core' : kind === 'ServiceEntry';
}

function dated(
  condition: ApiCondition,
  before: readonly ApiCondition[],
  generation: number | undefined,
  now: number,
): ApiCondition {
  const former = before.find(({ type }) => type === condition.type);
  const since = former?.status === condition.status ? former.lastTransitionTime : undefined;
  return {
    ...condition,
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    lastTransitionTime: since ?? `${new Date(now).toISOString().slice(0, 19)}Z`,
  };
}
