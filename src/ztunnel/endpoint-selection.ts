import { parseAddress } from '../model/address.ts';
import type { Family, IpAddress } from '../model/address.ts';
import { formatSpiffeId } from '../model/identity.ts';
import type { RoutingScope, Service, Workload } from '../model/workload.ts';
import type { Endpoint, SocketAddress } from '../native/binding.ts';
import type { MeshView } from './mesh-view.ts';
import { outboundPolicyOf } from './outbound-policy.ts';
import { resolvedAddresses } from './names/resolved-addresses.ts';
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

export interface ServiceEndpoints extends EndpointSetDraft {
  /** Some endpoints were left out because nobody knows what their names lead to. */
  readonly unresolved: boolean;
}

/** The endpoints behind a port of a service, as the source sees them. Empty where none can take the connection. */
export function serviceEndpoints(
  view: MeshView,
  source: Workload,
  service: Service,
  port: number,
  family: Family,
  trace: CandidateTrace | null = null,
): ServiceEndpoints {
  const key = `${service.namespace}/${service.hostname}`;
  const candidates: Candidate[] = [];
  let unresolved = false;
  for (const workload of view.endpoints(key)) {
    const found = candidatesOf(view, workload, service, { key, port, family });
    if (typeof found !== 'string') candidates.push(...found);
    else trace?.({ workload, address: null, port: 0, rank: 0, outcome: found });
    unresolved ||= found === 'unresolved_name';
  }
  const chosen = inScope(candidates, source, service);
  if (trace !== null) traceScope(trace, candidates, new Set(chosen), source, service);
  return {
    id: `service/${key}/${port}/v${family}${scopeSuffix(source, service)}`,
    endpoints: chosen.map((candidate) => candidateEndpoint(view, source, service, candidate)),
    unresolved,
  };
}

/** A name may lead to a workload of the mesh, which is then reached as if it had been asked for by its address. */
function candidateEndpoint(
  view: MeshView,
  source: Workload,
  { subjectAltNames }: Service,
  { workload, address, target: port }: Candidate,
): Endpoint {
  const parsed = workload.hostname === '' ? null : parseAddress(address);
  const owner = parsed === null ? null : (view.ownerOf(parsed, source.namespace)?.workload ?? null);
  const weight = Math.max(1, workload.capacity);
  if (owner?.protocol === 'hbone') return { ...endpointOf(view, owner, { address, port }, []), weight };
  return endpointOf(view, workload, { address, port }, subjectAltNames);
}

/** Why an endpoint of a service cannot take a connection at all. */
export type Ineligible = 'unhealthy' | 'no_address' | 'unknown_port' | 'no_target_port' | 'unresolved_name';

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

function candidatesOf(
  view: MeshView,
  workload: Workload,
  service: Service,
  { key, port, family }: { readonly key: string; readonly port: number; readonly family: Family },
): readonly Candidate[] | Ineligible {
  if (workload.status === 'unhealthy' && service.loadBalancing.healthPolicy !== 'allow-all') return 'unhealthy';
  if (workload.addresses.length === 0 && workload.hostname === '') return 'no_address';
  if (!service.ports.has(port)) return 'unknown_port';
  const target = workload.services.get(key)?.get(port) ?? service.ports.get(port) ?? 0;
  // 0 says that the target is named, so only the endpoint's own map could have told its number.
  if (target === 0) return 'no_target_port';
  const addresses = addressesFor(view, workload, family);
  if (addresses === null) return 'unresolved_name';
  return addresses.length === 0 ? 'no_address' : addresses.map((address) => ({ workload, address, target }));
}

/** Null where they are not known. Of a name all of them: each connection goes to one. */
function addressesFor(view: MeshView, workload: Workload, family: Family): readonly string[] | null {
  const own = addressFor(workload, family);
  if (own === null) return resolvedAddresses(view, workload.hostname, family);
  return workload.podUid === null && isRefused(view, own) ? [] : [own];
}

/** What nobody may reach, nobody reaches by writing it down as the endpoint of a service. */
function isRefused(view: MeshView, text: string): boolean {
  const address = parseAddress(text);
  return address === null || outboundPolicyOf(view.settings()).refuses(address);
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
