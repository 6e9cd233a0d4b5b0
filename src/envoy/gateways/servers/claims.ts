import type { GatewayServer } from '../server.ts';
import type { ListenerProblem } from './findings.ts';

/** All servers of one document on one port. */
export interface Claim {
  readonly resource: string;
  /** Of the Gateway API: listeners of one document that cannot be told apart are all closed, none of them is the first. */
  readonly isStrict: boolean;
  readonly servers: readonly GatewayServer[];
}

/** A server that does not get what it asks for. */
export interface ServerConflict {
  /** As it was given. */
  readonly server: GatewayServer;
  readonly problem: ListenerProblem;
  /** Names that it has lost. */
  readonly hosts: readonly string[];
  /** It has lost all of them. */
  readonly closed: boolean;
}

/** Of one port, in the order in which they are heard. */
export function claimsOf(servers: readonly GatewayServer[]): readonly Claim[] {
  const claims = new Map<string, GatewayServer[]>();
  for (const server of servers) {
    const known = claims.get(server.resource);
    if (known === undefined) claims.set(server.resource, [server]);
    else known.push(server);
  }
  return [...claims]
    .map(([resource, own]) => ({ resource, isStrict: own.some(isOfGatewayApi), servers: own }))
    .toSorted((left, right) => (seniority(left) < seniority(right) ? -1 : 1));
}

function isOfGatewayApi({ kind }: GatewayServer): boolean {
  return kind === 'Gateway' || kind === 'ListenerSet' || kind === 'XListenerSet';
}

/** To be compared as text. What has no age is younger than all that have one. */
function seniority({ resource, servers: [server] }: Claim): string {
  const created = server?.created ?? null;
  const age = created === null ? '~' : String(created).padStart(16, '0');
  return `${server?.kind === 'Gateway' ? '0' : '1'}/${age}/${resource}`;
}

/** A server that gets nothing. */
export function wholly(
  server: GatewayServer,
  reason: 'ProtocolConflict' | 'HostnameConflict',
  message: string,
): ServerConflict {
  return {
    server,
    problem: { type: 'Conflicted', reason, message },
    hosts: server.hosts.map(({ name }) => name),
    closed: true,
  };
}

/** Whoever cannot see a namespace is not told what is in it, but for the Gateway that he names himself. */
export function holder(claim: Pick<Claim, 'resource' | 'servers'> | undefined, asking: GatewayServer): string {
  const [server] = claim?.servers ?? [];
  if (claim === undefined || server === undefined) return 'another document';
  if (claim.resource === asking.resource) return 'another one of the same document';
  const isParent = server.kind === 'Gateway' && isOfGatewayApi(asking);
  return isParent || server.namespace === asking.namespace ? claim.resource : 'a document of another namespace';
}
