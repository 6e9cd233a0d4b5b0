import type { MeshSettings } from './workload.ts';

/**
 * A principal of our own trust domain is also one of its aliases, and `cluster.local` stands for our own whatever that
 * is called: so a policy outlives a change of the trust domain, as in Istio.
 *
 * @returns patterns of principals, any of which may match
 */
export function principalPatterns(
  text: string,
  settings: Pick<MeshSettings, 'trustDomain' | 'trustDomainAliases'>,
): readonly string[] {
  const slash = text.indexOf('/');
  const own = [settings.trustDomain, ...settings.trustDomainAliases];
  const written = slash < 0 ? '' : text.slice(0, slash);
  if (written !== 'cluster.local' && !own.includes(written)) return [text];
  return own.map((trustDomain) => trustDomain + text.slice(slash));
}

/** `namespace/name`; a name alone is one of the policy's own namespace. */
export function serviceAccountName(text: string, policyNamespace: string): { namespace: string; name: string } {
  const slash = text.indexOf('/');
  if (slash < 0) return { namespace: policyNamespace, name: text };
  return { namespace: text.slice(0, slash), name: text.slice(slash + 1) };
}
