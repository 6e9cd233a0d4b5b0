import { RBAC_Action } from '../../proto/gen/envoy-api/envoy/config/rbac/v3/rbac_pb.ts';
import type { PolicySchema, RBACSchema } from '../../proto/gen/envoy-api/envoy/config/rbac/v3/rbac_pb.ts';
import type { Init } from '../values.ts';
import { permissionOf, principalOf } from './fact-rules.ts';
import { auditPrefix, dryRunAllowPrefix, dryRunDenyPrefix } from './filter-names.ts';
import type { AccessPolicy, AccessRule } from './model.ts';

export type AccessRules = Init<typeof RBACSchema>;

/** What one filter of Envoy's RBAC does: rules that count, and rules that are only tried. */
export interface RulesOfFilter {
  readonly rules?: AccessRules;
  readonly shadowRules?: AccessRules;
}

const actions = { allow: RBAC_Action.ALLOW, deny: RBAC_Action.DENY } as const;

export type Action = keyof typeof shadowPrefixes;

/** Before what a filter says of rules that are only tried. */
export const shadowPrefixes = { deny: dryRunDenyPrefix, audit: auditPrefix, allow: dryRunAllowPrefix } as const;

/**
 * Those of the policies that are of the action; of none nothing is said, so everything passes. Those that are audited are found by
 * rules that would deny: Envoy's own action for logs does not say which of them it was.
 */
export function rulesOfFilter(action: Action, policies: readonly AccessPolicy[]): RulesOfFilter {
  const wanted = policies.filter((policy) => effectiveAction(policy) === action);
  if (action === 'audit') return wanted.length === 0 ? {} : { shadowRules: accessRules('deny', wanted) };
  const enforced = wanted.filter(({ dryRun }) => !dryRun);
  const tried = wanted.filter(({ dryRun }) => dryRun);
  return {
    ...(enforced.length === 0 ? {} : { rules: accessRules(action, enforced) }),
    // What is allowed already would still be, so an allowance is tried together with those that count.
    ...(tried.length === 0 ? {} : { shadowRules: accessRules(action, action === 'allow' ? wanted : tried) }),
  };
}

/** Where nobody can be asked, what would be asked of is denied. */
function effectiveAction({ action, provider }: AccessPolicy): AccessPolicy['action'] {
  return action === 'custom' && provider === null ? 'deny' : action;
}

/** Policies under the names that Istio gives them, for its tools and for whoever reads why something was refused. */
export function accessRules(action: keyof typeof actions, policies: readonly AccessPolicy[]): AccessRules {
  const named = policies.flatMap(({ name, rules }) => rules.map((rule, index) => [name, index, rule] as const));
  return {
    action: actions[action],
    policies: Object.fromEntries(named.map(([name, index, rule]) => [ruleName(name, index), policyOf(rule)])),
  };
}

function ruleName(policy: string, index: number): string {
  const [namespace = '', name = ''] = policy.split('/');
  return `ns[${namespace}]-policy[${name}]-rule[${index}]`;
}

function policyOf({ source, operation }: AccessRule): Init<typeof PolicySchema> {
  return { permissions: [permissionOf(operation)], principals: [principalOf(source)] };
}
