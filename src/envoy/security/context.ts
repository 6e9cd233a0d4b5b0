import type { MeshSettings } from '../../model/workload.ts';
import type { ExternalAuthorizer } from './model.ts';

/** What the conversions of security's manifests look at besides these. */
export interface SecurityContext {
  readonly settings: Pick<MeshSettings, 'trustDomain' | 'trustDomainAliases' | 'rootNamespace' | 'unenforceable'>;
  /** By the name that policies give. */
  readonly authorizers: ReadonlyMap<string, ExternalAuthorizer>;
  /** Of an issuer that publishes its keys; undefined: nobody has them. */
  readonly keys: (source: KeySource) => KeysOfSource | undefined;
}

/** A JSON Web Key Set, or why none is fetched. */
export type KeysOfSource = { readonly keys: string } | { readonly refused: string };

/** Where an issuer's keys are to be had: at an address, or where its own metadata (OpenID Connect discovery) says. */
export interface KeySource {
  readonly kind: 'keys' | 'issuer';
  readonly url: string;
}

export function keySourceText({ kind, url }: KeySource): string {
  return `${kind} ${url}`;
}
