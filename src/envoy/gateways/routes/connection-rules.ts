import type { Condition } from '../../../model/workload.ts';
import type { ConnectionRule } from '../../model.ts';
import { byServerName, olderFirst } from '../../routes/precedence.ts';
import type { ConvertedRoute } from '../../routes/precedence.ts';
import { claimedHosts } from './attached.ts';
import type { Attached } from './attached.ts';
import { anyHost, intersection, orAnyHost } from './hostnames.ts';
import type { HostPattern } from './hostnames.ts';
import type { HostOwners } from './host-owners.ts';
import { refusedConditions } from './request-hosts.ts';

/** Where whole connections go. */
export interface ConnectionRules {
  readonly connections: readonly ConnectionRule[];
  /** Manifests whose rules these are. */
  readonly origins: readonly string[];
  readonly conditions: readonly Condition[];
}

interface PlacedRule {
  readonly route: ConvertedRoute<ConnectionRule>;
  readonly rule: ConnectionRule;
}

/**
 * Of connections the first rule counts that they meet: by the closest name, then of the oldest route.
 *
 * @param named clients say by TLS which host they mean; else hosts only decide what is attached
 */
export function connectionRules(
  attached: readonly Attached<ConnectionRule>[],
  owners: HostOwners,
  named: boolean,
): ConnectionRules {
  const { claims, refused } = claimedHosts(attached.flatMap(ofEachRule), owners);
  const placed = [...claims].flatMap(([domain, { routes }]) =>
    routes.flatMap((route) =>
      route.rules.map((rule): PlacedRule => ({ route, rule: { ...rule, serverNames: named ? namesOf(domain) : [] } })),
    ),
  );
  const { kept, conditions } = firstOfEach(
    named ? placed : placed.toSorted((left, right) => olderFirst(left.route, right.route)),
  );
  return {
    connections: byServerName(kept.map(({ rule }) => rule)),
    origins: [...new Set(kept.map(({ route }) => textOf(route)))].sort(),
    conditions: [...refusedConditions(refused), ...conditions],
  };
}

/** A rule that asks for names claims those alone, among the hosts of its manifest. */
function ofEachRule(attached: Attached<ConnectionRule>): readonly Attached<ConnectionRule>[] {
  const { route } = attached;
  return route.rules.flatMap((rule) => {
    const names = rule.serverNames.flatMap((name) =>
      orAnyHost(route.hostnames).flatMap((host) => intersection(name, host) ?? []),
    );
    if (rule.serverNames.length > 0 && names.length === 0) return [];
    const hostnames = rule.serverNames.length === 0 ? route.hostnames : [...new Set(names)];
    return [{ ...attached, route: { ...route, hostnames, rules: [rule] } }];
  });
}

/** Whoever says no name is taken, too, where every name is. */
function namesOf(domain: HostPattern): readonly string[] {
  return domain === anyHost ? [] : [domain];
}

function firstOfEach(placed: readonly PlacedRule[]): {
  readonly kept: readonly PlacedRule[];
  readonly conditions: readonly Condition[];
} {
  const first = new Map<string, PlacedRule>();
  const conditions: Condition[] = [];
  for (const item of placed) {
    const key = keyOf(item.rule);
    const known = first.get(key);
    if (known === undefined) first.set(key, item);
    else if (textOf(known.route) !== textOf(item.route)) conditions.push(hidden(item, known));
  }
  return { kept: [...first.values()], conditions };
}

function keyOf({ serverNames, from }: ConnectionRule): string {
  return JSON.stringify([serverNames, from === null ? null : { ...from, labels: [...from.labels] }]);
}

function hidden({ route, rule }: PlacedRule, older: PlacedRule): Condition {
  const [name = 'any name'] = rule.serverNames;
  const isSeen = older.route.namespace === route.namespace;
  const who = isSeen ? textOf(older.route) : `a ${older.route.kind} of another namespace`;
  return {
    resource: textOf(route),
    type: 'Accepted',
    reason: 'RouteConflict',
    message: `${rule.name} has no effect on ${name}: ${who}, which is older, takes those connections`,
  };
}

function textOf({ kind, name }: Pick<ConvertedRoute<ConnectionRule>, 'kind' | 'name'>): string {
  return `${kind} ${name}`;
}
