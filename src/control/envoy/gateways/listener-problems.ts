import type { ListenerProblem } from '../../../envoy/gateways/servers/findings.ts';
import type { GatewayServer, SecretReference } from '../../../envoy/gateways/server.ts';
import type { GatewayClaims } from './gateway-claims.ts';
import type { AskedServers } from './gateway-servers.ts';
import { referencesOf } from './named-secrets.ts';
import type { SecretState } from './secrets-of-gateways.ts';

/** All that is wrong with one server of a document: by its document, by others that are before it, by its Secrets. */
export interface SectionProblems {
  readonly section: string;
  readonly supportedKinds: readonly string[];
  readonly problems: readonly ListenerProblem[];
}

type StateOf = (reference: SecretReference) => SecretState;

/** By the sections of the document, those of an Ingress too. */
export function problemsOf(asked: AskedServers, claims: GatewayClaims, stateOf: StateOf): readonly SectionProblems[] {
  const found = asked.listeners.length > 0 ? asked.listeners : sectionsOf(asked.servers);
  return found.map(({ section, supportedKinds, problems }) => {
    const servers = asked.servers.filter((server) => server.section === section);
    return {
      section,
      supportedKinds,
      problems: [
        ...problems,
        ...servers.flatMap((server) => conflictsOf(server, claims)),
        ...servers.flatMap((server) => unavailableFor(server, claims)),
        ...servers.flatMap((server) => secretProblems(server, stateOf, asked.namespace === claims.namespace)),
      ],
    };
  });
}

function sectionsOf(servers: readonly GatewayServer[]): readonly SectionProblems[] {
  const sections = [...new Set(servers.map(({ section }) => section))];
  return sections.map((section) => ({ section, supportedKinds: [], problems: [] }));
}

function conflictsOf(server: GatewayServer, { conflicts }: GatewayClaims): readonly ListenerProblem[] {
  return conflicts.filter((conflict) => conflict.server === server).map(({ problem }) => problem);
}

function unavailableFor({ port }: GatewayServer, { unavailable }: GatewayClaims): readonly ListenerProblem[] {
  return unavailable
    .filter(({ asked }) => asked === port)
    .map(({ message }) => ({ type: 'Programmed', reason: 'Invalid', message }));
}

/** @param isOwn whoever wrote it is of the gateway's namespace; others are not told what is in its Secrets, nor whether they are there */
function secretProblems(server: GatewayServer, stateOf: StateOf, isOwn: boolean): readonly ListenerProblem[] {
  const wrong = referencesOf(server).flatMap((reference): ListenerProblem[] => {
    const { resource, problem, expired } = stateOf(reference);
    const isTold = isOwn || reference.namespace !== null;
    if (expired !== null && isTold)
      return [{ type: 'ResolvedRefs', reason: 'CertificateExpired', message: `${resource} ${expired}` }];
    if (problem === null) return [];
    const reason = reference.use === 'roots' ? 'InvalidCACertificateRef' : 'InvalidCertificateRef';
    const hidden = `${reference.kind} ${reference.name} of the gateway’s namespace cannot be used`;
    return [{ type: 'ResolvedRefs', reason, message: isTold ? `${resource} ${problem}` : hidden }];
  });
  const first = wrong.find(({ reason }) => reason !== 'CertificateExpired');
  if (first === undefined || !isClosed(server, stateOf)) return wrong;
  const isAwaited = referencesOf(server).some((reference) => stateOf(reference).awaited);
  const state = isAwaited ? 'it is closed but at proxies that have had what it names' : 'it is closed';
  return [...wrong, { type: 'Programmed', reason: 'Invalid', message: `${state}: ${first.message}` }];
}

/** None of its certificates can be used, or nothing by which those of its clients could be measured. */
function isClosed({ tls }: GatewayServer, stateOf: StateOf): boolean {
  if (tls === null || tls === 'passthrough') return false;
  const isGood = (reference: SecretReference): boolean => stateOf(reference).problem === null;
  return !tls.certificates.some(isGood) || (tls.clients !== null && !isGood(tls.clients.roots));
}
