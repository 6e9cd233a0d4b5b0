import type { GatewayServer, ServerTlsTerms } from '../server.ts';

/** The document that asks for servers, as each of them names it. */
export type ServerOwner = Pick<GatewayServer, 'resource' | 'kind' | 'namespace' | 'name' | 'created'>;

interface OwnerDocument {
  readonly metadata: {
    readonly namespace: string;
    readonly name: string;
    readonly creationTimestamp: string | null;
  };
}

export function ownerOf(kind: GatewayServer['kind'], { metadata }: OwnerDocument): ServerOwner {
  const { namespace, name, creationTimestamp } = metadata;
  const created = creationTimestamp === null ? Number.NaN : Date.parse(creationTimestamp);
  return {
    resource: `${kind} ${namespace}/${name}`,
    kind,
    namespace,
    name,
    created: Number.isNaN(created) ? null : created,
  };
}

/** Ports that a gateway's pod needs itself: administration, tunnels, readiness, and what the engine hands over. */
export const reservedPorts: ReadonlySet<number> = new Set([15000, 15008, 15021, 15088]);

/** Of a server that was to end TLS and cannot. */
export const closedTerms: ServerTlsTerms = {
  certificates: [],
  clients: null,
  minimumVersion: null,
  maximumVersion: null,
  cipherSuites: [],
};
