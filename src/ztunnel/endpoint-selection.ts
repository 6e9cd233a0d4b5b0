import type { Family, IpAddress } from '../model/address.ts';
import { formatSpiffeId } from '../model/identity.ts';
import type { RoutingScope, Service, Workload } from '../model/workload.ts';
import type { Endpoint, SocketAddress } from '../native/binding.ts';
import type { MeshView } from './mesh-view.ts';
import { mayJoinLocally } from './same-node.ts';

/** A set of endpoints before it has a version. The id names everything that its content depends on but the mesh itself. */
export interface EndpointSetDraft {
  readonly id: string;
  readonly endpoints: readonly Endpoint[];
}

/** The one endpoint of traffic to a workload's own address; the port is the one that the client asked for. */
export function workloadEndpoint(view: MeshView, workload: Workload, address: IpAddress): EndpointSetDraft {
  return {
    id: `workload/${workload.uid}/${address.text}`,
    endpoints: [endpointOf(view, workload, { address: address.text, port: 0 }, [])],
  };
}

/** The endpoints behind a port of a service, as the source sees them. Empty where none can take the connection. */
export function serviceEndpoints(
  view: MeshView,
  source: Workload,
  service: Service,
  port: number,
  family: Family,
  trace: CandidateTrace | null = null,
): EndpointSetDraft {
  const key = `${service.namespace}/${service.hostname}`;
  const candidates: Candidate[] = [];
  for (const workload of view.endpoints(key)) {
    const candidate = candidateOf(workload, service, key, port, family);
    if (typeof candidate !== 'string') candidates.push(candidate);
    else trace?.({ workload, address: null, port: 0, rank: 0, outcome: candidate });
  }
  const chosen = inScope(candidates, source, service);
  if (trace !== null) traceScope(trace, candidates, new Set(chosen), source, service);
  return {
    id: `service/${key}/${port}/v${family}${scopeSuffix(source, service)}`,
    endpoints: chosen.map(({ workload, address, target }) =>
      endpointOf(view, workload, { address, port: target }, service.subjectAltNames),
    ),
  };
}

/** Why an endpoint of a service cannot take a connection at all. */
export type Ineligible = 'unhealthy' | 'no_address' | 'unknown_port' | 'no_target_port';

/** An endpoint that was looked at, told to whoever explains a decision. */
export interface ConsideredEndpoint {
  readonly workload: Workload;
  /** Null where it was put aside before that mattered. */
  readonly address: string | null;
  readonly port: number;
  /** How many of the service's leading scopes it shares with the source. */
  readonly rank: number;
  readonly outcome: 'chosen' | 'out_of_scope' | Ineligible;
}

export type CandidateTrace = (considered: ConsideredEndpoint) => void;

interface Candidate {
  readonly workload: Workload;
  readonly address: string;
  readonly target: number;
}

function candidateOf(
  workload: Workload,
  service: Service,
  key: string,
  port: number,
  family: Family,
): Candidate | Ineligible {
  if (workload.status === 'unhealthy' && service.loadBalancing.healthPolicy !== 'allow-all') return 'unhealthy';
  const address = addressFor(workload, family);
  if (address === null) return 'no_address';
  if (!service.ports.has(port)) return 'unknown_port';
  const target = workload.services.get(key)?.get(port) ?? service.ports.get(port) ?? 0;
  // 0 says that the target is named, so only the endpoint's own map could have told its number.
  return target === 0 ? 'no_target_port' : { workload, address, target };
}

function traceScope(
  trace: CandidateTrace,
  candidates: readonly Candidate[],
  chosen: ReadonlySet<Candidate>,
  source: Workload,
  service: Service,
): void {
  for (const candidate of candidates) {
    const { workload, address, target: port } = candidate;
    const rank = leadingMatches(service.loadBalancing.scopes, source, workload);
    trace({ workload, address, port, rank, outcome: chosen.has(candidate) ? 'chosen' : 'out_of_scope' });
  }
}

/** Of the family that the client used, else whichever there is: both ends of a tunnel need not share it. */
export function addressFor(workload: Workload, family: Family): string | null {
  const sameFamily = workload.addresses.find((address) => address.includes(':') === (family === 6));
  return sameFamily ?? workload.addresses[0] ?? null;
}

export function endpointOf(
  view: MeshView,
  workload: Workload,
  { address, port }: SocketAddress,
  subjectAltNames: readonly string[],
): Endpoint {
  return {
    workload: workload.uid,
    podUid: workload.podUid,
    address,
    port,
    protocol: workload.protocol,
    identities: [identityOf(workload), ...subjectAltNames],
    weight: Math.max(1, workload.capacity),
    local: workload.protocol === 'hbone' && mayJoinLocally(view, workload),
    authority: null,
  };
}

export function identityOf(workload: Workload): string {
  const { trustDomain, namespace, serviceAccount } = workload;
  return formatSpiffeId({ trustDomain, namespace, serviceAccount });
}

/** STRICT keeps what matches in all scopes, FAILOVER the group that matches in most of the leading ones. */
export function inScope<Ranked extends { readonly workload: Workload }>(
  candidates: readonly Ranked[],
  source: Workload,
  service: Service,
): readonly Ranked[] {
  const { mode, scopes } = service.loadBalancing;
  if (mode !== 'strict' && mode !== 'failover') return candidates;
  const ranked = candidates.map((candidate) => ({
    candidate,
    rank: leadingMatches(scopes, source, candidate.workload),
  }));
  const wanted = mode === 'strict' ? scopes.length : Math.max(0, ...ranked.map(({ rank }) => rank));
  return ranked.filter(({ rank }) => rank === wanted).map(({ candidate }) => candidate);
}

function leadingMatches(scopes: readonly RoutingScope[], source: Workload, target: Workload): number {
  const differing = scopes.findIndex((scope) => scopeValue(scope, source) !== scopeValue(scope, target));
  return differing < 0 ? scopes.length : differing;
}

/** Every workload known here is in one network. */
function scopeValue(scope: RoutingScope, workload: Workload): string {
  switch (scope) {
    case 'region':
    case 'zone':
    case 'subzone':
      return workload.locality[scope];
    case 'node':
      return workload.node;
    case 'cluster':
      return workload.clusterId;
    case 'network':
      return '';
  }
}

export function scopeSuffix(source: Workload, service: Service): string {
  const { mode, scopes } = service.loadBalancing;
  if (mode !== 'strict' && mode !== 'failover') return '';
  return `/${scopes.map((scope) => `${scope}=${scopeValue(scope, source)}`).join(',')}`;
}
