import type { SecretReference } from './server.ts';

/** Where a reference may lead: the first one that is there counts. */
export interface SecretPlace {
  readonly kind: SecretReference['kind'];
  readonly namespace: string;
  readonly name: string;
}

/** @param own namespace of the gateway's pods */
export function placesOf({ kind, namespace, name, suffix }: SecretReference, own: string): readonly SecretPlace[] {
  const place = { kind, namespace: namespace ?? own, name };
  return suffix === undefined ? [place] : [{ ...place, name: `${name}${suffix}` }, place];
}

/**
 * Under which name Envoy asks for it; one and the same for all servers that name it. Nothing else has it: no object's name has the sign
 * that sets roots apart from a certificate.
 */
export function secretResourceName({ kind, namespace, name, use, suffix }: SecretReference, own: string): string {
  const scheme = kind === 'Secret' ? 'kubernetes' : 'configmap';
  return `${scheme}://${namespace ?? own}/${name}${use === 'roots' ? `${suffix ?? ''}#roots` : ''}`;
}
