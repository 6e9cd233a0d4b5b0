import type { Condition } from '../../model/workload.ts';
import type { ForwardAction, HeaderChanges, HttpRule, HttpTarget } from '../http-rules.ts';
import type { DestinationName } from '../model.ts';
import type { ConvertedRoute, RankedRule } from './precedence.ts';

export interface RouteAtPort {
  readonly route: ConvertedRoute;
  /** Beside those of the route itself. */
  readonly conditions: readonly Condition[];
}

/**
 * The route at one of its parent's ports. Without a grant it may send to its parent what its clients may send themselves: to the
 * same port, and as they have said it. Policies have looked at that before the route does anything.
 */
export function atPort(route: ConvertedRoute, port: number): RouteAtPort {
  const lent = new Set(route.lent.map(keyOf));
  const isRefused = (name: DestinationName | null, changed: boolean): boolean =>
    name !== null && lent.has(keyOf(name)) && (changed || name.port !== port);
  const rules = route.rules.map((ranked) => permitted(ranked, isRefused));
  if (rules.every((ranked, index) => ranked === route.rules[index])) return { route, conditions: [] };
  const told: Condition = {
    resource: `${route.kind} ${route.name}`,
    type: 'ResolvedRefs',
    reason: 'RefNotPermitted',
    message:
      'without a ReferenceGrant it sends to its parent only what its clients ask of that port, unchanged: the rest is refused',
  };
  return { route: { ...route, rules }, conditions: [told] };
}

type IsRefused = (name: DestinationName | null, changed: boolean) => boolean;

function permitted(ranked: RankedRule, isRefused: IsRefused): RankedRule {
  const { rule } = ranked;
  const { action } = rule;
  if (action.kind !== 'forward') return ranked;
  const changed = changesRequests(rule, action);
  const isKept = ({ destination, requestHeaders }: HttpTarget): boolean =>
    !isRefused(destination, changed || changesAnything(requestHeaders));
  const mirrors = action.mirrors.filter(({ destination }) => !isRefused(destination, changed));
  if (action.targets.every(isKept) && mirrors.length === action.mirrors.length) return ranked;
  const targets = action.targets.map((target) => (isKept(target) ? target : { ...target, destination: null }));
  return { ...ranked, rule: { ...rule, action: { ...action, targets, mirrors } } };
}

function changesRequests({ requestHeaders }: HttpRule, { path, authority }: ForwardAction): boolean {
  return path !== null || authority !== null || changesAnything(requestHeaders);
}

function changesAnything({ set, add, remove }: HeaderChanges): boolean {
  return set.length + add.length + remove.length > 0;
}

function keyOf({ namespace, hostname, port }: DestinationName): string {
  return `${namespace ?? ''} ${hostname} ${port}`;
}
