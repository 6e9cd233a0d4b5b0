import { auditPrefix, dryRunAllowPrefix, dryRunDenyPrefix } from './filter-names.ts';

/** What Envoy's RBAC says of rules that only tell: as metadata of each request or connection. */

export type Carried = 'requests' | 'connections';

/** Under whose name; the filters may be called otherwise. */
export const findingsOf: Readonly<Record<Carried, string>> = {
  requests: 'envoy.filters.http.rbac',
  connections: 'envoy.filters.network.rbac',
};

/** Which rule has matched; without one there is none. */
export const policyFinding = (prefix: string): string => `${prefix}shadow_effective_policy_id`;
/** `allowed` or `denied`, wherever there are rules to try. */
const resultOf = (prefix: string): string => `${prefix}shadow_engine_result`;

/** Where there is one of each: what is found then, which rule it was, and how the log calls it. */
export const findings = {
  audit: { finding: policyFinding(auditPrefix), policy: policyFinding(auditPrefix), key: 'audit_policy' },
  deny: { finding: resultOf(dryRunDenyPrefix), policy: policyFinding(dryRunDenyPrefix), key: 'dry_run_deny_result' },
  allow: {
    finding: resultOf(dryRunAllowPrefix),
    policy: policyFinding(dryRunAllowPrefix),
    key: 'dry_run_allow_result',
  },
} as const;

/** An operator of Envoy's logs and metrics. */
export function findingText(carried: Carried, finding: string): string {
  return `%DYNAMIC_METADATA(${findingsOf[carried]}:${finding})%`;
}
