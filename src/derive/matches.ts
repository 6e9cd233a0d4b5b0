import type { Match, StringMatch } from '../model/policy.ts';

/** A match that asks for nothing. */
export const emptyMatch: Match = {
  namespaces: [],
  notNamespaces: [],
  principals: [],
  notPrincipals: [],
  serviceAccounts: [],
  notServiceAccounts: [],
  sourceIps: [],
  notSourceIps: [],
  destinationIps: [],
  notDestinationIps: [],
  destinationPorts: [],
  notDestinationPorts: [],
};

/** Holds for whoever has shown no certificate: how STRICT is written. */
export const withoutIdentity: Match = { ...emptyMatch, notPrincipals: [{ kind: 'presence' }] };

/** Istio's notation: `*` any that is there, `*x` ends so, `x*` begins so. */
export function stringMatch(text: string): StringMatch {
  if (text === '*') return { kind: 'presence' };
  if (text.startsWith('*')) return { kind: 'suffix', value: text.slice(1) };
  if (text.endsWith('*')) return { kind: 'prefix', value: text.slice(0, -1) };
  return { kind: 'exact', value: text };
}

export function isEmptyMatch(match: Match): boolean {
  return Object.values(match).every((values: readonly unknown[]) => values.length === 0);
}
