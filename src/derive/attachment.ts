import type { Policy } from '../model/policy.ts';
import type { Condition, Workload } from '../model/workload.ts';
import { matchesLabels } from './selectors.ts';
import type { Labels } from './selectors.ts';

/** A policy made of a manifest, and which pods it is attached to by its selector; null: its scope says enough. */
export interface DerivedPolicy {
  readonly policy: Policy;
  readonly selector: { readonly namespace: string | null; readonly labels: Labels } | null;
  /** It stands in for what only a waypoint could look at: not where everything has to come through one. */
  readonly untilWaypoint: boolean;
}

export interface DerivedPolicies {
  readonly policies: readonly DerivedPolicy[];
  readonly conditions: readonly Condition[];
}

interface Selectable {
  readonly metadata: { readonly namespace: string; readonly labels: Labels };
}

export function policyKey(policy: Policy): string {
  return `${policy.namespace}/${policy.name}`;
}

/**
 * Keys of the selector policies that are attached to a pod. A selector without a namespace looks at all of them.
 *
 * @param isGateway its own proxy looks at what L4 does not see
 */
export function attachedKeys(
  policies: readonly DerivedPolicy[],
  pod: Selectable,
  waypoint: Workload['waypoint'],
  isGateway = false,
): readonly string[] {
  // A waypoint that may be gone past while it is not ready takes nothing over.
  const takenOver = isGateway || (waypoint?.required === true && waypoint.whenUnready === 'refuse');
  return policies
    .filter(
      ({ selector, untilWaypoint }) => selector !== null && selects(selector, pod) && !(untilWaypoint && takenOver),
    )
    .map(({ policy }) => policyKey(policy));
}

function selects(selector: NonNullable<DerivedPolicy['selector']>, pod: Selectable): boolean {
  const inReach = selector.namespace === null || selector.namespace === pod.metadata.namespace;
  return inReach && matchesLabels(selector.labels, pod.metadata.labels);
}
