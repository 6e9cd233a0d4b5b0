import type { Condition } from '../../model/workload.ts';
import { always, noSecurity } from './model.ts';
import type { AccessPolicy, OperationFact, Security, Test } from './model.ts';

type Labels = Readonly<Record<string, string>>;

/** What one manifest of security adds, and to what. */
export interface SecurityPart {
  /** `AuthorizationPolicy shop/web`. */
  readonly resource: string;
  /**
   * What it is attached to: `Service shop/web`, `ServiceEntry shop/api`, `Gateway shop/waypoint`, `GatewayClass istio-waypoint`,
   * and limits also to routes, `HTTPRoute shop/checkout`.
   */
  readonly targets: readonly string[];
  readonly security: Security;
  /** What the destinations of selected workloads leave to their waypoint, for L4 sees nothing of it. */
  readonly left: LeftPolicy | null;
  /** What it asks at gateways whose pods it selects; null: it is attached by references alone. */
  readonly selected: SelectedSecurity | null;
  readonly conditions: readonly Condition[];
}

/** Of what a manifest with a selector, or with nothing, is for. */
interface Selection {
  /** null: of all namespaces. */
  readonly namespace: string | null;
  readonly labels: Labels;
}

/** Clients of a gateway come past the engine: its proxy alone can look at what they ask for, and at who they are. */
export interface SelectedSecurity extends Selection {
  readonly security: Security;
  /** Told where a gateway is selected. */
  readonly conditions: readonly Condition[];
  /** Told where none is. */
  readonly unselected: readonly Condition[];
}

export interface LeftPolicy extends Selection {
  /** Its ports are those of the workload. */
  readonly policy: AccessPolicy;
}

/** One service or one workload behind a waypoint. */
export interface GuardedPlace {
  /** It, its waypoint and what is attached to it, written as the targets of parts. */
  readonly resources: ReadonlySet<string>;
  /** The workload, or the endpoints of the service. */
  readonly workloads: readonly { readonly namespace: string; readonly labels: Labels }[];
  /** Service port → port of its endpoints, 0 where these differ; null: the ports are the workload's own. */
  readonly targetPorts: ReadonlyMap<number, number> | null;
}

/**
 * All that is asked of those who come to the place. What is left of a policy with a selector holds for a service as soon as one of
 * its endpoints is selected: which endpoint a request goes to is known too late.
 */
export function securityOf(place: GuardedPlace, parts: readonly SecurityPart[]): Security {
  const attached = parts.filter(({ targets }) => targets.some((target) => place.resources.has(target)));
  const left = parts.flatMap((part) => part.left ?? []).filter((policy) => concerns(policy, place));
  if (attached.length === 0 && left.length === 0) return noSecurity;
  return {
    issuers: attached.flatMap(({ security }) => security.issuers),
    policies: [
      ...attached.flatMap(({ security }) => security.policies),
      ...left.map(({ policy }) => withServicePorts(policy, place.targetPorts)),
    ],
    limits: attached.flatMap(({ security }) => security.limits.filter(({ target }) => place.resources.has(target))),
  };
}

/** A gateway. */
export interface GuardedGateway {
  /** It and what is attached to it, written as the targets of parts. */
  readonly resources: ReadonlySet<string>;
  /** Its pods; one that is selected is enough, for they are told the same. */
  readonly workloads: GuardedPlace['workloads'];
}

/** All that is asked of those who come to a gateway. Ports that are named in it are those of its pods. */
export function securityOfGateway(gateway: GuardedGateway, parts: readonly SecurityPart[]): Security {
  // Nothing is left to it of what it has whole.
  const attached = securityOf({ resources: gateway.resources, workloads: [], targetPorts: null }, parts);
  const selected = parts.flatMap((part) => selectedBy(part, gateway) ?? []).map(({ security }) => security);
  if (selected.length === 0) return attached;
  return {
    issuers: [...attached.issuers, ...selected.flatMap(({ issuers }) => issuers)],
    policies: [...attached.policies, ...selected.flatMap(({ policies }) => policies)],
    limits: attached.limits,
  };
}

/** null: it has no selector, or selects no pod of the gateway. */
export function selectedBy(
  { selected }: SecurityPart,
  gateway: Pick<GuardedGateway, 'workloads'>,
): SelectedSecurity | null {
  return selected !== null && concerns(selected, gateway) ? selected : null;
}

function concerns({ namespace, labels }: Selection, { workloads }: Pick<GuardedPlace, 'workloads'>): boolean {
  return workloads.some(
    (workload) =>
      (namespace === null || namespace === workload.namespace) &&
      Object.entries(labels).every(([key, value]) => workload.labels[key] === value),
  );
}

function withServicePorts(policy: AccessPolicy, targetPorts: GuardedPlace['targetPorts']): AccessPolicy {
  if (targetPorts === null) return policy;
  const rules = policy.rules.map((rule) => ({ ...rule, operation: onService(rule.operation, targetPorts, false) }));
  return { ...policy, rules };
}

/** A port of the service is each port that it may lead to; of one that nobody knows the wider is taken, for these only deny. */
function onService(
  test: Test<OperationFact>,
  targetPorts: ReadonlyMap<number, number>,
  negated: boolean,
): Test<OperationFact> {
  switch (test.kind) {
    case 'all':
    case 'any':
      return { kind: test.kind, of: test.of.map((part) => onService(part, targetPorts, negated)) };
    case 'not':
      return { kind: 'not', of: onService(test.of, targetPorts, !negated) };
    case 'destination-port':
      return { kind: 'any', of: servicePorts(test.port, targetPorts, negated) };
    case 'destination-address':
      // The address that was asked for is the service's; whether an endpoint's would have matched nobody can tell yet.
      return negated ? { kind: 'any', of: [] } : always;
    default:
      return test;
  }
}

function servicePorts(port: number, targetPorts: ReadonlyMap<number, number>, negated: boolean): OperationFact[] {
  return [...targetPorts]
    .filter(([, target]) => target === port || (target === 0 && !negated))
    .map(([number]) => ({ kind: 'destination-port', port: number }));
}
