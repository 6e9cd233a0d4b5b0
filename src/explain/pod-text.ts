import type { Certificate, Outbound, Pod } from './shape.ts';

/** Whether the mesh has the pod, in one line. */
export function describeMembership(pod: Pod, basis: Outbound['basis']): string {
  const { known, wanted, captured, enrolled, lastError } = pod;
  if (basis === 'assumed') return wanted ? 'of the mesh, by its labels' : 'not of the mesh, by its labels';
  const error = lastError === null ? '' : `; the last attempt failed: ${lastError}`;
  if (enrolled) return 'enrolled: its connections are captured';
  if (captured) return `captured, but not served: everything is refused${error}`;
  if (!known) return 'not known to its own node: not captured';
  return wanted ? `waits to be enrolled: not captured yet${error}` : 'not of the mesh, by its labels: not captured';
}

/** Nothing where nothing is known of it. */
export function describeCertificate(certificate: Certificate, basis: Outbound['basis']): readonly string[] {
  if (basis === 'assumed') return [];
  if (certificate === null) return ['certificate: its node keeps none'];
  const { state, reason, notAfter } = certificate;
  const until = notAfter === null ? '' : ` until ${new Date(notAfter).toISOString()}`;
  return [`certificate: ${state}${state === 'available' ? until : ''}${reason === null ? '' : ` (${reason})`}`];
}
