import { describeError } from '../config/errors.ts';
import { formatEndpoint } from '../model/address.ts';
import type { Condition, MeshState, Workload } from '../model/workload.ts';
import { arrivalAt, plainEndpointAt } from './arrival.ts';
import { assumedFacts } from './assumed-facts.ts';
import { explainInbound } from './inbound.ts';
import { addressLike, resolveDestination, resolveSource } from './names.ts';
import type { Request } from './names.ts';
import { conditionsOf, nameOf } from './node-facts.ts';
import { explainOutbound } from './outbound.ts';
import type { Explanation, Inbound, InboundAsked, Outbound, OutboundAsked, Path, PathEndpoint } from './shape.ts';
import { overall, ownAddressVerdict, pathVerdict } from './verdict.ts';

/** Endpoints whose own nodes are asked. */
const mostPaths = 5;

/** The agents of the nodes. Each rejects where there is no answer; the error says why. */
export interface Agents {
  outbound(node: string, asked: OutboundAsked): Promise<Outbound>;
  inbound(node: string, asked: InboundAsked): Promise<Inbound>;
}

export interface ConnectionDependencies {
  /** As whoever explains knows the mesh: names are looked up in it, and it stands in for agents that are silent. */
  readonly state: MeshState;
  /** The state is the whole mesh: what an agent is told on demand is told from it. */
  readonly whole: boolean;
  readonly agents: Agents;
}

/**
 * What will happen to a connection and why: the source's agent tells where it goes, and that of each endpoint whether it is
 * let in.
 *
 * @throws AmbitError with a code of `requestFaults` where the names mean nothing
 */
export async function explainConnection(dependencies: ConnectionDependencies, request: Request): Promise<Explanation> {
  const { state } = dependencies;
  const source = resolveSource(state, request);
  const { address, port, meaning } = resolveDestination(state, request, source);
  const asked = { pod: source.podUid, destination: address, port };
  const { answer: outbound, problem } = await askSource(dependencies, source.node, asked);
  const endpoints = endpointsOf(state, outbound).slice(0, mostPaths);
  const paths = await Promise.all(endpoints.map((endpoint) => explainPath(dependencies, source, outbound, endpoint)));
  const explanation = {
    source: nameOf(source),
    destination: request.destination,
    meaning: `${meaning} at ${formatEndpoint(address, port)}`,
    outbound,
    problem,
    paths,
    conditions: allConditions(state, outbound, paths),
  };
  return { ...explanation, verdict: overall(explanation) };
}

interface Asked<Answer> {
  readonly answer: Answer;
  /** Why it is only assumed. */
  readonly problem: string | null;
}

async function askSource(
  { state, whole, agents }: ConnectionDependencies,
  node: string,
  asked: OutboundAsked,
): Promise<Asked<Outbound>> {
  const assumed = (): Outbound => explainOutbound(assumedFacts(state, node, asked), asked);
  try {
    const answer = await agents.outbound(node, asked);
    if (answer.action !== 'unsettled') return { answer, problem: null };
    if (whole) return { answer: told(answer, assumed()), problem: null };
    return { answer, problem: `the agent of ${node} knows addresses on demand, and not this one yet` };
  } catch (error) {
    return { answer: assumed(), problem: silent(node, error) };
  }
}

/** What the agent will make of the address once it has asked for it. */
function told({ basis, pod, certificate, conditions }: Outbound, assumed: Outbound): Outbound {
  return { ...assumed, basis, pod, certificate, conditions, fetched: true };
}

async function askDestination(
  { state, agents }: ConnectionDependencies,
  node: string,
  asked: InboundAsked,
): Promise<Asked<Inbound>> {
  try {
    return { answer: await agents.inbound(node, asked), problem: null };
  } catch (error) {
    return { answer: explainInbound(assumedFacts(state, node, asked), asked), problem: silent(node, error) };
  }
}

function silent(node: string, error: unknown): string {
  return `the agent of ${node} does not tell: ${describeError(error)}`;
}

async function explainPath(
  dependencies: ConnectionDependencies,
  source: Workload,
  outbound: Outbound,
  endpoint: PathEndpoint,
): Promise<Path> {
  const { transport, authority } = endpoint;
  const { address: destination, port } = authority ?? endpoint;
  const undecided = { endpoint, inbound: null, problem: null };
  if (leadsBack(source, endpoint)) return { ...undecided, verdict: ownAddressVerdict(endpoint) };
  const arrival = arrivalAt(dependencies.state, endpoint);
  if (arrival === null) return { ...undecided, verdict: pathVerdict(outbound, endpoint, null) };
  const peer = transport === 'plaintext' ? null : outbound.pod.identity;
  const from = addressLike(source.addresses, endpoint.address) ?? '';
  const asked = { pod: arrival.podUid, peer, source: from, destination, port, transport };
  const { answer: inbound, problem } = await askDestination(dependencies, arrival.node, asked);
  return { endpoint, inbound, problem, verdict: pathVerdict(outbound, endpoint, inbound) };
}

/** Another name for the client's own address. What a pod sends to itself is not captured, nor what its node sends for it. */
function leadsBack(source: Workload, { podUid, address, transport }: PathEndpoint): boolean {
  if (transport === 'node_local' || podUid === source.podUid || source.hostNetwork) return false;
  return source.addresses.includes(address);
}

/** Where the source's node names no endpoint, a plain connection arrives at whoever has the address. */
function endpointsOf(state: MeshState, { action, endpoints, destination }: Outbound): readonly PathEndpoint[] {
  if (endpoints.length > 0 || (action !== 'passthrough' && action !== 'uncaptured')) return endpoints;
  const there = plainEndpointAt(state, destination.address, destination.port);
  return there === null ? [] : [there];
}

/** Those that the agents named, and those that only whoever explains knows of. */
function allConditions(state: MeshState, outbound: Outbound, paths: readonly Path[]): Condition[] {
  const inbounds = paths.flatMap(({ inbound }) => inbound ?? []);
  const service = state.services.get(outbound.destination.name);
  const own = conditionsOf(state.conditions, [
    `Pod ${outbound.pod.name}`,
    ...(service === undefined ? [] : [`Service ${nameOf(service)}`]),
    ...paths.map(({ endpoint }) => `Pod ${endpoint.name}`),
    ...inbounds.flatMap(({ policies }) => policies.map(({ document }) => document)),
  ]);
  const all = [...own, ...outbound.conditions, ...inbounds.flatMap(({ conditions }) => conditions)];
  return [...new Map(all.map((condition) => [JSON.stringify(condition), condition])).values()];
}
