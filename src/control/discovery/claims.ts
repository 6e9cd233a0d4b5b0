import { partialResponses } from '../../wds/names.ts';
import type { DiscoveryRequest } from './request.ts';

/** What a client says of itself with its first request: for pages and logs, and never trusted for what it may have. */
export interface Claims {
  readonly id: string;
  readonly node: string | null;
  /** Of the mesh. */
  readonly cluster: string | null;
  /** Of an agent, or of the proxy. */
  readonly version: string | null;
  /** It takes what it asked for in several responses. */
  readonly takesParts: boolean;
}

const longest = 256;

export const noClaims: Claims = { id: '', node: null, cluster: null, version: null, takesParts: false };

export function claimsOf(request: Pick<DiscoveryRequest, 'node'>): Claims {
  const { node } = request;
  const said = (name: string): string | null => {
    const value = node?.metadata?.[name];
    return typeof value === 'string' && value !== '' ? value.slice(0, longest) : null;
  };
  return {
    id: (node?.id ?? '').slice(0, longest),
    node: said('NODE_NAME'),
    cluster: said('CLUSTER_ID'),
    version: said('AMBIT_VERSION') ?? said('ISTIO_VERSION') ?? proxyVersion(request),
    takesParts: node?.metadata?.[partialResponses] === true,
  };
}

function proxyVersion({ node }: Pick<DiscoveryRequest, 'node'>): string | null {
  const version = node?.userAgentBuildVersion?.version;
  return version === undefined ? null : [version.majorNumber, version.minorNumber, version.patch].join('.');
}
