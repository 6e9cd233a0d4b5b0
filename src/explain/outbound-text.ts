import { formatEndpoint } from '../model/address.ts';
import { describeCertificate, describeMembership } from './pod-text.ts';
import type { Candidate, Outbound, PathEndpoint } from './shape.ts';
import { placeOf } from './text-parts.ts';
import type { Step } from './text-parts.ts';

/** The source's half. @param problem why it is only assumed */
export function describeOutbound(outbound: Outbound, meaning: string, problem: string | null): readonly Step[] {
  const { pod, certificate, basis } = outbound;
  const silent = problem === null ? [] : [`${problem}; what follows is what it should do`];
  const steps: Step[] = [
    {
      title: 'source',
      lines: [
        `${pod.name} on ${pod.node}, ${pod.identity}`,
        ...silent,
        describeMembership(pod, basis),
        ...(pod.proxied ? ['a proxy: its routes say where it connects to; what follows is what becomes of this'] : []),
        ...describeCertificate(certificate, basis),
      ],
    },
    { title: 'destination', lines: [meaning, ...ownerLines(outbound, meaning), ...fetchedLines(outbound)] },
  ];
  if (outbound.loadBalancing !== null) steps.push({ title: 'endpoints', lines: candidateLines(outbound) });
  return [...steps, { title: 'way', lines: wayLines(outbound) }];
}

/** Who has the address, unless that was asked for by name. */
function ownerLines(outbound: Outbound, meaning: string): readonly string[] {
  const { owner, name, address } = outbound.destination;
  switch (owner) {
    case 'workload':
      return meaning.startsWith(`pod ${name} `) ? [] : [`${address} is the address of ${name}`];
    case 'service':
      return meaning.startsWith(`service ${name} `) ? [] : [`${address} is an address of service ${name}`];
    case 'nobody':
      if (outbound.action === 'unsettled') return [];
      return [`${address} belongs to nobody in the mesh`];
    case 'itself':
      return [`${address} is the pod itself`];
  }
}

function fetchedLines({ fetched, pod }: Outbound): readonly string[] {
  return fetched ? [`the agent of ${pod.node} has not asked for it yet; the first connection waits until it has`] : [];
}

function candidateLines({ candidates, omitted, loadBalancing }: Outbound): readonly string[] {
  if (loadBalancing?.mode === 'passthrough') return ['the service passes every connection on to the address itself'];
  const chosen = candidates.filter(({ outcome }) => outcome === 'chosen').length;
  const scopes = loadBalancing?.scopes ?? [];
  const rule = scopes.length === 0 ? '' : `, ${loadBalancing?.mode ?? ''} by ${scopes.join(', ')}`;
  const head = `${chosen} of ${candidates.length + omitted} can take it${rule}`;
  const more = omitted === 0 ? [] : [`  … and ${omitted} more that are not shown`];
  return [head, ...candidates.map((candidate) => candidateLine(candidate, scopes)), ...more];
}

function candidateLine(candidate: Candidate, scopes: readonly string[]): string {
  const { name, node, address, port, outcome } = candidate;
  const place = address === null ? `${name} on ${node}` : placeOf({ name, node, address, port });
  if (outcome === 'chosen')
    return `  + ${place}${rankText(candidate, scopes)}${candidate.healthy ? '' : ', not ready'}`;
  return `  - ${place}: ${whyNotChosen(candidate, scopes)}`;
}

function rankText({ rank }: Candidate, scopes: readonly string[]): string {
  return scopes.length === 0 || rank === 0 ? '' : `, same ${scopes.slice(0, rank).join(', ')}`;
}

function whyNotChosen({ outcome, rank }: Candidate, scopes: readonly string[]): string {
  switch (outcome) {
    case 'chosen':
      return '';
    case 'out_of_scope':
      return `farther away, for its ${scopes[rank] ?? 'place'} is another one`;
    case 'unhealthy':
      return 'not ready';
    case 'no_address':
      return 'it has no address';
    case 'unknown_port':
      return 'the service has no such port';
    case 'no_target_port':
      return 'it has no port of the name that the service asks for';
    case 'unresolved_name':
      return 'nobody has looked up its name yet, or nobody answers for it';
  }
}

function wayLines(outbound: Outbound): readonly string[] {
  const { action, endpoints, endpointCount, reason } = outbound;
  const shown = endpoints.map((endpoint) => endpointLine(endpoint, outbound));
  const rest = endpointCount - endpoints.length;
  const more = rest === 0 ? [] : [`… and ${rest} more`];
  switch (action) {
    case 'connect':
      return [...shown.flat(), ...more];
    case 'passthrough':
      return shown.length > 0 ? shown.flat() : ['passed through: a plain connection, as without a mesh'];
    case 'uncaptured':
      return ['plain: the source is not captured, so its connections go as without a mesh', ...shown.flat(), ...more];
    case 'refused':
      return ['closed by the kernel: no agent serves the source'];
    case 'unsettled':
      return ['its agent has to ask for the address first'];
    case 'itself':
      return ['stays in the pod: what a pod sends to itself is never captured'];
    case 'relay':
      return ['to the control plane, by the agent and with the certificate of the pod'];
    case 'deny':
      return [`refused by the node of the source: ${reason ?? ''}`];
  }
}

function endpointLine(endpoint: PathEndpoint, { sameNode }: Outbound): readonly string[] {
  const { transport, identities, wire } = endpoint;
  const place = placeText(endpoint);
  switch (transport) {
    case 'node_local':
      return [`node-local to ${place}: joined without a wire, for both pods are of this node (sameNode: ${sameNode})`];
    case 'plaintext':
      return [`plain to ${place}`];
    case 'mutual_tls': {
      const why = wire === null ? '' : `: ${wireText(wire, sameNode)}`;
      return [`tunnel (HBONE, mutual TLS) to ${place}${why}`, `  the server must show ${identities.join(' or ')}`];
    }
  }
}

/** A waypoint's pod takes tunnels alone, so the port is that of what it is asked for. */
function placeText(endpoint: PathEndpoint): string {
  const { authority, name, address, node } = endpoint;
  if (authority === null) return placeOf(endpoint);
  const where = node === '' ? address : `${address} on ${node}`;
  return `the waypoint ${name} at ${where}, which is asked for ${formatEndpoint(authority.address, authority.port)}`;
}

function wireText({ end, reason }: NonNullable<PathEndpoint['wire']>, sameNode: string): string {
  const pod = `the ${end}`;
  switch (reason) {
    case 'no_pod':
      return `${pod} is no pod`;
    case 'other_node':
      return `${pod} is on another node`;
    case 'setting':
      return `the setting sameNode is ${sameNode}`;
    case 'network_policy':
      return `a NetworkPolicy selects ${pod} (sameNode: ${sameNode}), and must see its traffic`;
    case 'not_wanted':
      return `${pod} is not of the mesh`;
    case 'not_enrolled':
      return `${pod} is not served yet`;
  }
}
