import type { Condition } from '../../model/workload.ts';
import type { HttpAction } from '../http-rules.ts';
import type { DestinationName } from '../model.ts';
import type { ConvertedRoute, RankedRule } from './precedence.ts';

export interface RouteAtPort {
  readonly route: ConvertedRoute;
  /** Beside those of the route itself. */
  readonly conditions: readonly Condition[];
}

/**
 * The route at one of its parent's ports. Without a grant it may send to its parent, but not from one port to another: what the
 * parent's policies ask of the clients of the one says nothing of the other.
 */
export function atPort(route: ConvertedRoute, port: number): RouteAtPort {
  const beyond = new Set(route.lent.filter((name) => name.port !== port).map(keyOf));
  if (beyond.size === 0) return { route, conditions: [] };
  const rules = route.rules.map((ranked) => withoutTargets(ranked, beyond));
  const message = `what comes to port ${port} is refused where it would be sent to another port of the same service: that needs a ReferenceGrant`;
  const told: Condition = {
    resource: `${route.kind} ${route.name}`,
    type: 'ResolvedRefs',
    reason: 'RefNotPermitted',
    message,
  };
  return { route: { ...route, rules }, conditions: [told] };
}

function withoutTargets({ rule, rank }: RankedRule, beyond: ReadonlySet<string>): RankedRule {
  return { rank, rule: { ...rule, action: permitted(rule.action, beyond) } };
}

function permitted(action: HttpAction, beyond: ReadonlySet<string>): HttpAction {
  if (action.kind !== 'forward') return action;
  const isBeyond = (name: DestinationName | null): boolean => name !== null && beyond.has(keyOf(name));
  return {
    ...action,
    targets: action.targets.map((target) => (isBeyond(target.destination) ? { ...target, destination: null } : target)),
    mirrors: action.mirrors.filter(({ destination }) => !isBeyond(destination)),
  };
}

function keyOf({ namespace, hostname, port }: DestinationName): string {
  return `${namespace ?? ''} ${hostname} ${port}`;
}
