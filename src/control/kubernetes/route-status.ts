import { isDeepStrictEqual } from 'node:util';
import { gatewayGroup } from '../../envoy/routes/groups.ts';
import { isServiceParent, parentText } from '../../envoy/routes/parents.ts';
import type { ApiCondition } from './status-writer.ts';

/** Kinds whose conditions stand with each of their parents. */
export const routeKinds: readonly string[] = ['HTTPRoute', 'GRPCRoute', 'TLSRoute', 'TCPRoute'];

/** Ours among those who write about parents: of services, and of gateways. */
const meshController = 'istio.io/mesh-controller';
const gatewayController = 'istio.io/gateway-controller';

interface ParentReference {
  readonly group?: string;
  readonly kind?: string;
  readonly namespace?: string;
  readonly name: string;
  readonly sectionName?: string;
  readonly port?: number;
}

export interface ParentStatus {
  readonly parentRef: ParentReference;
  readonly controllerName: string;
  readonly conditions?: readonly ApiCondition[] | null;
}

export interface RouteObject {
  readonly metadata: { readonly generation?: number; readonly namespace?: string };
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
 * All that is said of a route's parents: what others say of theirs, of each service the same, and of each gateway of which something
 * is to be said; others' gateways are theirs. The list is one field to the API server, so it is written as a whole. null: nothing is
 * to be written.
 *
 * @param wanted what is not honoured of the route, and what became of it at single parents. @param now milliseconds since the epoch
 */
export function routeParents(
  { metadata, spec, status }: RouteObject,
  wanted: readonly ApiCondition[],
  now: number,
): readonly ParentStatus[] | null {
  const former = status?.parents ?? [];
  const own = former.filter(isOurs);
  const parents = (spec?.parentRefs ?? []).flatMap((parentRef): readonly ParentStatus[] => {
    const at = textOf(parentRef, metadata.namespace ?? '');
    const controllerName = controllerOf(
      parentRef,
      wanted.some(({ parent }) => parent === at),
    );
    if (controllerName === null) return [];
    const before = own.find((parent) => isDeepStrictEqual(parent.parentRef, parentRef))?.conditions ?? [];
    const conditions = conditionsAt(at, wanted).map((condition) => dated(condition, before, metadata.generation, now));
    return [{ parentRef, controllerName, conditions }];
  });
  if (isDeepStrictEqual(own, parents)) return null;
  return [...former.filter((parent) => !isOurs(parent)), ...parents];
}

function isOurs({ controllerName }: ParentStatus): boolean {
  return controllerName === meshController || controllerName === gatewayController;
}

/** null: whatever becomes of it is not ours to say. */
function controllerOf({ group = gatewayGroup, kind = 'Gateway' }: ParentReference, isSpokenOf: boolean): string | null {
  if (isServiceParent({ group, kind })) return meshController;
  return isSpokenOf ? gatewayController : null;
}

function textOf({ kind = 'Gateway', namespace, name, sectionName, port }: ParentReference, own: string): string {
  const asked = { kind, namespace: namespace ?? null, name, sectionName: sectionName ?? null, port: port ?? null };
  return parentText(asked, own);
}

/** What is said of the route anywhere, and what is of that parent alone: of each type once, and false where anything is. */
function conditionsAt(parent: string, wanted: readonly ApiCondition[]): readonly ApiCondition[] {
  const here = wanted.filter((condition) => condition.parent === undefined || condition.parent === parent);
  const types = [...new Set([accepted.type, resolved.type, ...here.map(({ type }) => type)])];
  return types.flatMap((type) => {
    const said = here.filter((condition) => condition.type === type);
    const refused = said.filter(({ status }) => status === 'False');
    const [first] = refused.length > 0 ? refused : said.toReversed();
    if (first === undefined) return [accepted, resolved].filter((usual) => usual.type === type);
    const { type: of, status, reason } = first;
    const message = refused.length > 0 ? refused.map((condition) => condition.message).join('; ') : first.message;
    return [{ type: of, status, reason, message }];
  });
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
