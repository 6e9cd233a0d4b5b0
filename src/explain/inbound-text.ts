import { describeCertificate, describeMembership } from './pod-text.ts';
import type { Inbound, LookedAt, Path } from './shape.ts';
import { placeOf } from './text-parts.ts';
import type { Step } from './text-parts.ts';
import { describeVerdict } from './verdict.ts';

/** The half of one endpoint. @param several its own verdict is worth a line */
export function describeInbound({ endpoint, inbound, problem, verdict }: Path, several: boolean): readonly Step[] {
  const own = several ? [describeVerdict(verdict)] : [];
  if (inbound === null) {
    return [{ title: 'server', lines: [placeOf(endpoint), 'nothing of the mesh decides there', ...own] }];
  }
  const { pod, certificate, basis } = inbound;
  const silent = problem === null ? [] : [`${problem}; what follows is what it should do`];
  const lines = [
    placeOf(endpoint),
    ...(pod.name === endpoint.name ? [] : [`${endpoint.address} is the address of ${pod.name} on ${pod.node}`]),
    ...silent,
    describeMembership(pod, basis),
    ...(endpoint.transport === 'mutual_tls' ? describeCertificate(certificate, basis) : []),
  ];
  const decided = inbound.action === 'allow' || inbound.action === 'deny';
  const policies = decided ? [...waypointLines(inbound), ...policyLines(inbound)] : [...whyUndecided(inbound)];
  return [
    { title: 'server', lines },
    { title: 'policy', lines: [...policies, ...own] },
  ];
}

/** What of waypoints has a say in it. */
function waypointLines({ waypoints, handover, question }: Inbound): readonly string[] {
  if (handover !== null) return [`its proxy gets the connection on port ${handover}, with who the client is`];
  if (waypoints === null) return [];
  if (waypoints.length === 0) return ['it takes only what comes through its waypoint, of which no pod is known'];
  const through = question.peer !== null && waypoints.includes(question.peer);
  return [
    `it takes only what comes through its waypoint (${[...new Set(waypoints)].join(', ')})${through ? ', as this does' : ''}`,
  ];
}

function whyUndecided({ action, reason }: Inbound): readonly string[] {
  if (action === 'refused') return ['none is asked: nobody accepts the connection'];
  if (reason === 'bypass_inbound') return ['none is asked: plain connections to it are not captured, STRICT or not'];
  return ['none is asked: it is not captured'];
}

function policyLines({ question, policies, omitted, unknown, dryRunAllowed, action }: Inbound): readonly string[] {
  const who = question.peer === null ? 'a client without identity' : question.peer;
  return [
    `${who} from ${question.source} to port ${question.port}; ${countOf(policies.length + omitted)}`,
    ...unknown.map((key) => `  ! ${key} is named by the workload and not known: everything is denied until it is`),
    ...policies.flatMap(linesOf),
    ...(omitted === 0 ? [] : [`  … and ${omitted} more that are not shown`]),
    ...(dryRunAllowed === null ? [] : [dryRunLine(dryRunAllowed, action === 'allow')]),
  ];
}

function countOf(count: number): string {
  if (count === 0) return 'no policy applies';
  return count === 1 ? '1 policy applies' : `${count} policies apply`;
}

function linesOf(policy: LookedAt): readonly string[] {
  const { document, scope, action, dryRun, malformed, matches, decides, why } = policy;
  const mark = decides ? '*' : matches ? '+' : '-';
  const kind = `${action.toUpperCase()}, ${scopes[scope]}${dryRun ? ', dry run' : ''}`;
  const result = malformed !== null ? `malformed: ${malformed}` : matches ? 'matches' : 'does not match';
  return [
    `  ${mark} ${document} (${kind}) ${result}${decides ? ', decides' : ''}`,
    ...why.map((line) => `      ${line}`),
  ];
}

const scopes = { global: 'whole mesh', namespace: 'its namespace', 'workload-selector': 'by selector' } as const;

function dryRunLine(wouldBe: boolean, is: boolean): string {
  if (wouldBe === is) return '  if the dry-run policies counted, it would be the same';
  return `  if the dry-run policies counted, it would be ${wouldBe ? 'allowed' : 'denied'}`;
}
