import { parseAddress } from '../model/address.ts';
import type { LocalPod, Service, Workload } from '../model/workload.ts';
import type { Endpoint, OutboundQuestion } from '../native/binding.ts';
import { serviceEndpoints } from '../ztunnel/endpoint-selection.ts';
import type { ConsideredEndpoint } from '../ztunnel/endpoint-selection.ts';
import { decideOutbound } from '../ztunnel/outbound.ts';
import type { OutboundDecision } from '../ztunnel/outbound.ts';
import { wireReason } from '../ztunnel/same-node.ts';
import { plainEndpoint } from './arrival.ts';
import { conditionsOf, describePod, nameOf } from './node-facts.ts';
import type { NodeFacts } from './node-facts.ts';
import type { Candidate, Outbound, OutboundAsked, PathEndpoint, Pod } from './shape.ts';

/** A service may have thousands: what is shown must fit a screen, and an answer its limit. */
const mostCandidates = 50;
const mostEndpoints = 20;

/** The source's half: what its node does with a connection, and why. */
export function explainOutbound(facts: NodeFacts, asked: OutboundAsked): Outbound {
  const { view, basis, generation } = facts;
  const considered: ConsideredEndpoint[] = [];
  const question: OutboundQuestion = { kind: 'outbound', id: 0, ...asked };
  const decision = decideOutbound(view, question, (endpoint) => considered.push(endpoint));
  const pod = describePod(facts, asked.pod);
  const local = view.localPod(asked.pod);
  const early = beforeDecision(pod, local, asked.destination) ?? unsettled(facts, asked, decision);
  const endpoints = early?.action === 'itself' ? [] : endpointsOf(facts, asked, decision, early !== null);
  const { service } = decision;
  return {
    end: 'outbound',
    basis,
    fetched: false,
    generation,
    pod,
    certificate: facts.certificate(pod.identity),
    destination: { address: asked.destination, port: asked.port, ...ownerOf(facts, asked, early) },
    sameNode: view.settings().sameNode,
    loadBalancing: service === null ? null : loadBalancingOf(service),
    candidates: considered.sort(chosenFirst).slice(0, mostCandidates).map(showCandidate),
    omitted: Math.max(0, considered.length - mostCandidates),
    action: early?.action ?? decision.action,
    reason: early?.reason ?? (decision.action === 'deny' ? decision.reason : null),
    endpoints: endpoints.slice(0, mostEndpoints),
    endpointCount: endpoints.length,
    conditions: conditionsOf(facts.conditions, [
      `Pod ${pod.name}`,
      ...(service === null ? [] : [`Service ${nameOf(service)}`]),
    ]),
  };
}

interface Early {
  readonly action: 'uncaptured' | 'refused' | 'itself' | 'unsettled';
  readonly reason: string | null;
}

/** What keeps a connection from ever being asked about. The kernel's hooks see to it; docs/interception.md has the table. */
function beforeDecision(pod: Pod, local: LocalPod | null, destination: string): Early | null {
  if (isOwn(local, destination)) return { action: 'itself', reason: null };
  if (!pod.captured) return { action: 'uncaptured', reason: whyUncaptured(pod) };
  // Captured, and nobody serves it: a pod never falls out of the mesh.
  return pod.enrolled ? null : { action: 'refused', reason: 'not_enrolled' };
}

/** Of the address, or of the waypoint that stands before it. */
function unsettled({ view }: NodeFacts, { destination }: OutboundAsked, decision: OutboundDecision): Early | null {
  const address = parseAddress(destination);
  const isTold = decision.action !== 'deny' || decision.reason !== 'unresolved_waypoint';
  return address === null || (view.isSettled(address) && isTold) ? null : { action: 'unsettled', reason: null };
}

function isOwn(local: LocalPod | null, destination: string): boolean {
  if (/^(127\.|::1$|fe[89ab][0-9a-f]:)/.test(destination)) return true;
  return local?.addresses.includes(destination) ?? false;
}

function whyUncaptured({ known, wanted }: Pod): string {
  if (!known) return 'unknown_pod';
  return wanted ? 'not_enrolled' : 'not_wanted';
}

function ownerOf({ view }: NodeFacts, { pod, destination }: OutboundAsked, early: Early | null) {
  const address = parseAddress(destination);
  const owner = address === null ? null : view.ownerOf(address, view.localPod(pod)?.namespace ?? '');
  if (early?.action === 'itself') return { owner: 'itself', name: '' } as const;
  if (owner?.workload) return { owner: 'workload', name: nameOf(owner.workload) } as const;
  if (owner?.service) {
    return { owner: 'service', name: `${owner.service.namespace}/${owner.service.hostname}` } as const;
  }
  return { owner: 'nobody', name: '' } as const;
}

function loadBalancingOf({ loadBalancing: { mode, scopes, healthPolicy } }: Service): Outbound['loadBalancing'] {
  return { mode, scopes: [...scopes], healthPolicy };
}

function chosenFirst(left: ConsideredEndpoint, right: ConsideredEndpoint): number {
  return Number(right.outcome === 'chosen') - Number(left.outcome === 'chosen');
}

function showCandidate({ workload, address, port, rank, outcome }: ConsideredEndpoint): Candidate {
  const { node, status } = workload;
  return { name: nameOf(workload), node, address, port, healthy: status === 'healthy', rank, outcome };
}

/** @param plain the source is not captured, so that what it asks for is reached without the mesh */
function endpointsOf(
  facts: NodeFacts,
  { pod, destination, port }: OutboundAsked,
  decision: OutboundDecision,
  plain: boolean,
): PathEndpoint[] {
  if (plain) return straightEndpoints(facts, { pod, destination, port });
  if (decision.action === 'passthrough' && decision.workload !== null) {
    return [plainEndpoint(decision.workload, destination, port)];
  }
  if (decision.action !== 'connect') return [];
  return decision.target.set.endpoints.map((endpoint) => {
    const workload = facts.view.workload(endpoint.workload);
    const target = endpoint.port === 0 ? port : endpoint.port;
    const authority = endpoint.authority ?? decision.authority;
    const base = { ...describeEndpoint(endpoint, workload), port: target, authority };
    return { ...base, ...transportOf(facts, { pod, endpoint, workload, decision }) };
  });
}

/** Whoever is not captured goes past every waypoint. */
function straightEndpoints({ view }: NodeFacts, { pod, destination, port }: OutboundAsked): PathEndpoint[] {
  const source = view.workload(view.localPod(pod)?.workload ?? '');
  const address = parseAddress(destination);
  const owner = source === null || address === null ? null : view.ownerOf(address, source.namespace);
  if (source === null || address === null || owner === null) return [];
  if (owner.workload !== null) return [plainEndpoint(owner.workload, destination, port)];
  if (owner.service === null || owner.service.loadBalancing.mode === 'passthrough') return [];
  const { endpoints } = serviceEndpoints(view, source, owner.service, port, address.family);
  return endpoints.map((endpoint) => describeEndpoint(endpoint, view.workload(endpoint.workload)));
}

function describeEndpoint(endpoint: Endpoint, workload: Workload | null): PathEndpoint {
  const { address, port, podUid } = endpoint;
  const name = workload === null ? endpoint.workload : nameOf(workload);
  const node = workload?.node ?? '';
  const common = { name, workload: endpoint.workload, podUid, node, address, port };
  return { ...common, transport: 'plaintext', wire: null, identities: [], authority: null };
}

interface Way {
  readonly pod: string;
  readonly endpoint: Endpoint;
  readonly workload: Workload | null;
  readonly decision: Extract<OutboundDecision, { readonly action: 'connect' }>;
}

/** As the engine chooses between a join, a tunnel and plain TCP. A pod that reaches itself by a service is always joined. */
function transportOf(
  { view }: NodeFacts,
  { pod, endpoint, workload, decision }: Way,
): Pick<PathEndpoint, 'transport' | 'wire' | 'identities'> {
  const identities = [...endpoint.identities];
  if (endpoint.podUid === pod || (decision.allowLocal && endpoint.local)) {
    return { transport: 'node_local', wire: null, identities };
  }
  if (endpoint.protocol === 'tcp') return { transport: 'plaintext', wire: null, identities: [] };
  const source = view.workload(view.localPod(pod)?.workload ?? '');
  const there = workload === null ? null : wireReason(view, workload);
  const here = source === null ? null : wireReason(view, source);
  if (there !== null) return { transport: 'mutual_tls', wire: { end: 'destination', reason: there }, identities };
  const wire = here === null ? null : ({ end: 'source', reason: here } as const);
  return { transport: 'mutual_tls', wire, identities };
}
