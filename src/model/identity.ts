/** The cryptographic name of a workload: trust domain, namespace and service account. */
export interface SpiffeId {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

const scheme = 'spiffe://';
/** What the SPIFFE specification allows in a trust domain and in a path segment. */
const trustDomainPattern = /^[a-z0-9._-]{1,255}$/;
const segmentPattern = /^[a-zA-Z0-9._-]{1,253}$/;

/**
 * Null unless the text is exactly `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`: anything looser, such
 * as a sixth segment, would let two texts be one identity to one side and two to the other.
 */
export function parseSpiffeId(text: string): SpiffeId | null {
  if (!text.startsWith(scheme)) return null;
  const segments = text.slice(scheme.length).split('/');
  const [trustDomain = '', ns, namespace = '', sa, serviceAccount = ''] = segments;
  if (segments.length !== 5 || ns !== 'ns' || sa !== 'sa') return null;
  if (!isTrustDomain(trustDomain) || !isSegment(namespace) || !isSegment(serviceAccount)) return null;
  return { trustDomain, namespace, serviceAccount };
}

export function formatSpiffeId(id: SpiffeId): string {
  // Many are kept, and a template would leave its pieces in memory beside the text.
  return ['spiffe:', '', id.trustDomain, 'ns', id.namespace, 'sa', id.serviceAccount].join('/');
}

/** The identity as policies write it: without the scheme. */
export function formatPrincipal(id: SpiffeId): string {
  return `${id.trustDomain}/ns/${id.namespace}/sa/${id.serviceAccount}`;
}

export function isTrustDomain(text: string): boolean {
  return trustDomainPattern.test(text);
}

function isSegment(text: string): boolean {
  return segmentPattern.test(text) && text !== '.' && text !== '..';
}
