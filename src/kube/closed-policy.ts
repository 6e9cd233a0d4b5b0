import type { KindDefinition } from '../config/manifests/kinds.ts';
import type { Resource } from '../config/manifests/resources.ts';
import type { KubeObject } from './objects.ts';

/** Specifications that refuse whatever a policy of the kind can refuse. */
const closing: Readonly<Record<string, object>> = {
  AuthorizationPolicy: { action: 'DENY', rules: [{}] },
  PeerAuthentication: { mtls: { mode: 'STRICT' } },
};

/**
 * What stands for a policy that the API server has taken and we cannot read, while no good version of it is known: one that is
 * closed for all that it selects or is attached to, or for its whole namespace where that cannot be read either. Leaving it out could open
 * what it was written to close.
 *
 * @returns null for kinds that close nothing
 */
export function closedPolicy(definition: KindDefinition, object: KubeObject): Resource | null {
  const spec = closing[definition.kind];
  if (spec === undefined) return null;
  const written = specOf(object);
  const { selector, targetRef, targetRefs } = written;
  const attached = [targetRef, targetRefs].some(isPresent) ? { targetRef, targetRefs } : { selector };
  const candidates = [{ ...spec, ...attached }, spec];
  for (const candidate of candidates) {
    const reading = definition.read({ ...object, spec: candidate });
    if (reading.ok) return reading.resource;
  }
  return null;
}

function specOf(object: KubeObject): Readonly<Record<string, unknown>> {
  const spec: unknown = 'spec' in object ? object.spec : null;
  return typeof spec === 'object' && spec !== null ? (spec as Readonly<Record<string, unknown>>) : {};
}

function isPresent(value: unknown): boolean {
  return Array.isArray(value) ? value.length > 0 : value !== undefined && value !== null;
}
