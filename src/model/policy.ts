/** Authorization at L4 in the shape that the node proxies of the Istio world exchange (WDS `Authorization`). */

/** Names that a stock istiod gives to the policies it makes of PeerAuthentications, so that its tools and dashboards know them. */
export const strictPolicyName = 'istio_converted_static_strict';
export const convertedPolicyPrefix = 'converted_peer_authentication_';

/** Before the name of an AuthorizationPolicy: what stands in for those of its denials that only a waypoint could decide. */
export const unenforceablePolicyPrefix = 'ambit_unenforceable_';

export type StringMatch =
  | { readonly kind: 'exact'; readonly value: string }
  | { readonly kind: 'prefix'; readonly value: string }
  | { readonly kind: 'suffix'; readonly value: string }
  | { readonly kind: 'presence' };

export interface ServiceAccountMatch {
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** Kinds of condition are ANDed; values of a kind are ORed; a `not` list holds if none of it matches; empty: no constraint. */
export interface Match {
  readonly namespaces: readonly StringMatch[];
  readonly notNamespaces: readonly StringMatch[];
  readonly principals: readonly StringMatch[];
  readonly notPrincipals: readonly StringMatch[];
  readonly serviceAccounts: readonly ServiceAccountMatch[];
  readonly notServiceAccounts: readonly ServiceAccountMatch[];
  /** CIDR text. */
  readonly sourceIps: readonly string[];
  readonly notSourceIps: readonly string[];
  readonly destinationIps: readonly string[];
  readonly notDestinationIps: readonly string[];
  readonly destinationPorts: readonly number[];
  readonly notDestinationPorts: readonly number[];
}

/** Clauses are ANDed, the matches of a clause ORed. */
export interface Rule {
  readonly clauses: readonly (readonly Match[])[];
}

export interface Policy {
  readonly name: string;
  readonly namespace: string;
  readonly scope: 'global' | 'namespace' | 'workload-selector';
  readonly action: 'allow' | 'deny';
  /** ORed; a policy without rules never matches. */
  readonly rules: readonly Rule[];
  readonly dryRun: boolean;
}
