import { RBAC_Action } from '../../proto/gen/envoy-api/envoy/config/rbac/v3/rbac_pb.ts';
import type { PolicySchema, RBACSchema } from '../../proto/gen/envoy-api/envoy/config/rbac/v3/rbac_pb.ts';
import type { Init } from '../values.ts';
import { permissionOf, principalOf } from './fact-rules.ts';
import type { AccessPolicy, AccessRule } from './model.ts';

export type AccessRules = Init<typeof RBACSchema>;

/** What one filter of Envoy's RBAC does: rules that count, and rules that are only tried. */
export interface RulesOfFilter {
  readonly rules?: AccessRules;
  readonly shadowRules?: AccessRules;
}

const actions = { allow: RBAC_Action.ALLOW, deny: RBAC_Action.DENY, audit: RBAC_Action.LOG } as const;

export type Action = keyof typeof actions;

/** Those of the policies that are of the action; of none nothing is said, so everything passes. */
export function rulesOfFilter(action: Action, policies: readonly AccessPolicy[]): RulesOfFilter {
  const wanted = policies.filter((policy) => effectiveAction(policy) === action);
  const enforced = wanted.filter(({ dryRun }) => !dryRun);
  const tried = wanted.filter(({ dryRun }) => dryRun);
  return {
    ...(enforced.length === 0 ? {} : { rules: accessRules(action, enforced) }),
    ...(tried.length === 0 ? {} : { shadowRules: accessRules(action, tried) }),
  };
}

/** Where nobody can be asked, what would be asked of is denied. */
function effectiveAction({ action, provider }: AccessPolicy): AccessPolicy['action'] {
  return action === 'custom' && provider === null ? 'deny' : action;
}

/** Policies under the names that Istio gives them, for its tools and for whoever reads why something was refused. */
export function accessRules(action: Action, policies: readonly AccessPolicy[]): AccessRules {
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
