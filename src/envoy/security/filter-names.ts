/** Where Envoy's own filters keep what they have found, and under which names ours stand in a chain. */

export const tokenFilter = 'envoy.filters.http.jwt_authn';
/** Under which the payload of a good token is kept. */
export const tokenPayload = 'payload';

export const denyFilter = 'ambit.rbac.deny';
export const auditFilter = 'ambit.rbac.audit';
export const allowFilter = 'ambit.rbac.allow';
export const limitFilter = 'envoy.filters.http.local_ratelimit';

/** Decides what an external authorizer is asked of. */
export function askedFilter(authorizer: string): string {
  return `ambit.rbac.custom.${authorizer}`;
}

export function authorizerFilter(authorizer: string): string {
  return `envoy.filters.http.ext_authz.${authorizer}`;
}

/** Before the statistics and the findings of the rules that decide whether an authorizer is asked. Each name has its own. */
export function askedPrefix(authorizer: string): string {
  return `custom_${authorizer.replace(/[^A-Za-z0-9]/g, escapedCharacter)}_`;
}

/** `_` and the number of the character, closed by another `_`: no other text is written so. */
function escapedCharacter(character: string): string {
  return `_${character.charCodeAt(0).toString(16)}_`;
}

/** Likewise of rules that only tell. */
export const dryRunDenyPrefix = 'dry_run_deny_';
export const dryRunAllowPrefix = 'dry_run_allow_';
export const auditPrefix = 'audit_';
