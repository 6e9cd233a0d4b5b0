import { formatEndpoint } from '../model/address.ts';
import type { Certificate, Explanation, Inbound, Outbound, Path, PathEndpoint, Verdict } from './shape.ts';

/** What the source's own node says, where the connection ends there; null where endpoints decide. */
function outboundVerdict(outbound: Outbound, paths: readonly Path[]): Verdict | null {
  const { action, reason, pod, destination } = outbound;
  switch (action) {
    case 'deny':
      return refused(denyTexts[reason ?? ''] ?? `the node of the source refuses it: ${reason ?? 'no reason given'}`);
    case 'refused':
      return refused(`${pod.name} is captured, but no agent serves it${because(pod.lastError)}`);
    case 'relay':
      return allowed('its agent takes it to the control plane');
    case 'itself':
      return allowed('the address is the pod’s own, so the connection never leaves it');
    case 'unsettled':
      return { outcome: 'unknown', text: 'its agent asks for the address with the first connection' };
    case 'passthrough':
    case 'uncaptured':
    case 'connect':
      return paths.length > 0 ? null : allowed(passedBy(destination));
  }
}

const denyTexts: Readonly<Record<string, string>> = {
  no_healthy_upstream: 'the service has no endpoint that can take it',
  waypoint_not_ready: 'what was asked for has a waypoint, and that has no pod that is ready',
  no_control_plane: 'this node knows no control plane for its waypoints and gateways',
  unknown_source: 'the source is not a pod that its node knows',
  invalid_destination: 'the destination is no address',
  not_in_registry: 'nobody in the mesh has the address, and outboundTrafficPolicy is REGISTRY_ONLY for the source',
  refused_address: 'outboundTrafficPolicy refuses the address, or it is one that a waypoint or gateway never sends to',
  unresolved_name:
    'nobody has looked up the names of its endpoints yet, which the first connection has done; or nobody answers for them',
  waypoint_required: 'it is reached through the waypoint of its service, and by nobody past it',
};

function passedBy({ owner, address, port }: Outbound['destination']): string {
  const at = formatEndpoint(address, port);
  return owner === 'nobody'
    ? `nobody of the mesh has ${at}: it goes there as without a mesh`
    : `it goes to ${at} as without a mesh`;
}

/** What becomes of the connection at one endpoint. */
export function pathVerdict(outbound: Outbound, endpoint: PathEndpoint, inbound: Inbound | null): Verdict {
  if (inbound === null) return allowed(`${endpoint.name} is outside the mesh, so nothing of it decides there`);
  return identityVerdict(outbound, endpoint, inbound) ?? inboundVerdict(inbound);
}

/** What becomes of it where the endpoint has the address of the client itself, under another name. */
export function ownAddressVerdict({ name, address, transport }: PathEndpoint): Verdict {
  const own = `${name} has ${address}, which is the client’s own`;
  return transport === 'plaintext'
    ? allowed(`${own}, so the connection never leaves it`)
    : refused(`${own}, and nobody ends a tunnel from a pod to itself`);
}

/** Whether both ends can show each other who they are. Between two pods of a node the namespaces tell. */
function identityVerdict(
  outbound: Outbound,
  { transport, identities }: PathEndpoint,
  inbound: Inbound,
): Verdict | null {
  if (transport !== 'mutual_tls') return null;
  const ours = lacking(outbound.certificate, outbound.basis);
  if (ours !== null) return refused(`the client, ${outbound.pod.name}, has no valid certificate: ${ours}`);
  if (inbound.action === 'refused') return null;
  const theirs = lacking(inbound.certificate, inbound.basis);
  if (theirs !== null) return refused(`the server, ${inbound.pod.name}, has no valid certificate: ${theirs}`);
  const shown = inbound.pod.identity;
  if (identities.includes(shown)) return null;
  return refused(`the server shows ${shown}, and the client accepts ${identities.join(' or ')}`);
}

/** What is assumed of a node says nothing of its certificates. */
function lacking(certificate: Certificate, basis: Outbound['basis']): string | null {
  if (basis === 'assumed') return null;
  if (certificate === null) return 'its agent keeps none (is there a CA?)';
  return certificate.state === 'available' ? null : (certificate.reason ?? certificate.state);
}

function inboundVerdict({ action, reason, policy, policies, pod, handover }: Inbound): Verdict {
  switch (action) {
    case 'unguarded':
      return allowed(whyUnguarded(pod.name, reason));
    case 'refused':
      return refused(`no agent serves ${pod.name} yet${because(pod.lastError)}`);
    case 'allow': {
      const why = policy === null ? 'no policy has a say in it' : `by ${named(policy, policies)}`;
      return allowed(
        handover === null ? why : `${why}; the proxy of the waypoint ${pod.name} decides what becomes of it`,
      );
    }
    case 'deny':
      if (reason === 'unresolved_destination') {
        return { outcome: 'unknown', text: 'the waypoint’s agent asks who has the address with the first connection' };
      }
      return { outcome: 'denied', text: whyDenied(reason ?? '', policy, policies) };
  }
}

function whyUnguarded(name: string, reason: string | null): string {
  return reason === 'bypass_inbound'
    ? `${name} takes plain connections itself, as gateways do: what listens there decides, and of the mesh only its proxy`
    : `${name} is not captured, so nothing of the mesh decides there`;
}

function whyDenied(reason: string, policy: string | null, policies: Inbound['policies']): string {
  switch (reason) {
    case 'policy_denied':
      return `by ${named(policy ?? '', policies)}`;
    case 'no_allow_policy_matched':
      return 'there are ALLOW policies, and none of them matches';
    case 'policy_unknown':
      return `the workload names the policy ${policy ?? ''}, which its agent does not know yet`;
    case 'policy_malformed':
      return `${named(policy ?? '', policies)} cannot be evaluated, so it denies`;
    case 'not_through_waypoint':
      return 'it takes only what comes through its waypoint, and this does not';
    case 'not_this_waypoint':
      return 'it is no waypoint of what was asked for';
    case 'unknown_destination':
      return 'the pod is not known to its own node';
    default:
      return reason;
  }
}

/** Such as `AuthorizationPolicy shop/only-web`. */
function named(key: string, policies: Inbound['policies']): string {
  const policy = policies.find((candidate) => candidate.key === key);
  return policy?.document ?? `the policy ${key}`;
}

/** The whole: what all endpoints agree on. What is only assumed is not known. */
export function overall({ outbound, paths, problem }: Omit<Explanation, 'verdict'>): Verdict {
  const own = outboundVerdict(outbound, paths);
  const silent = [...(problem === null ? [] : [problem]), ...paths.flatMap((path) => path.problem ?? [])];
  const known = own ?? agreed(paths, outbound.endpointCount);
  const [first] = silent;
  if (first === undefined) return known;
  return { outcome: 'unknown', text: `${first}; by what is known here it would be ${describeVerdict(known)}` };
}

function agreed(paths: readonly Path[], endpointCount: number): Verdict {
  const outcomes = new Set(paths.map(({ verdict }) => verdict.outcome));
  const [first] = paths;
  if (first === undefined) return refused('there is no endpoint');
  const rest = endpointCount - paths.length;
  const looked = rest > 0 ? ` (${paths.length} of ${endpointCount} endpoints were looked at)` : '';
  if (outcomes.size > 1) return { outcome: 'mixed', text: `it depends on the endpoint, see above${looked}` };
  const texts = new Set(paths.map(({ verdict }) => verdict.text));
  const text = texts.size === 1 ? first.verdict.text : 'for a reason of its own at each endpoint, see above';
  return { outcome: first.verdict.outcome, text: text + looked };
}

/** Such as `DENIED by AuthorizationPolicy shop/only-web`. */
export function describeVerdict({ outcome, text }: Verdict): string {
  return text.startsWith('by ') ? `${outcome.toUpperCase()} ${text}` : `${outcome.toUpperCase()}: ${text}`;
}

function allowed(text: string): Verdict {
  return { outcome: 'allowed', text };
}

function refused(text: string): Verdict {
  return { outcome: 'refused', text };
}

function because(error: string | null): string {
  return error === null ? '' : `: ${error}`;
}
