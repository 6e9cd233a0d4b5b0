import type { CollectionGraph } from '../../../derive/collections/collection-graph.ts';
import type { DerivedCollection, Read } from '../../../derive/collections/derived-collection.ts';
import { condition } from '../../../derive/context.ts';
import { limited } from '../../../derive/limited.ts';
import type { GatewayRoutes } from '../../../envoy/gateways/routes/attachments.ts';
import { attachedRoutes, parentOutcomes, serverKey } from '../../../envoy/gateways/routes/parent-outcomes.ts';
import type { NamespaceLookup } from '../../../envoy/gateways/routes/lookups.ts';
import type { ListenerProblem } from '../../../envoy/gateways/servers/findings.ts';
import type { SettledPort } from '../../../envoy/gateways/servers/settle-ports.ts';
import { gatewayGroup } from '../../../envoy/routes/groups.ts';
import type { Condition } from '../../../model/workload.ts';
import type { GatewayReport, ListenerReport, ReportedCondition, ReportedPort } from '../../gateway-report.ts';
import type { GatewayClaims } from './gateway-claims.ts';
import type { RoutesOfGateways } from './gateway-routes.ts';
import type { AskedServers } from './gateway-servers.ts';
import type { GatewayTopology } from './gateway-topology.ts';
import { problemsOf } from './listener-problems.ts';
import type { SectionProblems } from './listener-problems.ts';
import type { SecretsOfGateways } from './secrets-of-gateways.ts';

/** What is to be said of the documents of one gateway. */
export interface ReportsOfGateway {
  /** By resource, of documents of the Gateway API. */
  readonly reports: ReadonlyMap<string, GatewayReport>;
  readonly conditions: readonly Condition[];
}

export interface ReportInputs {
  readonly claims: DerivedCollection<GatewayClaims>;
  readonly topology: GatewayTopology;
  readonly secrets: SecretsOfGateways;
  readonly routes: RoutesOfGateways;
}

/** By gateway. */
export function createReports(
  graph: CollectionGraph,
  { claims, topology, secrets, routes }: ReportInputs,
): DerivedCollection<ReportsOfGateway> {
  return graph.derive<GatewayClaims, ReportsOfGateway>({
    name: 'reports of gateways',
    from: claims,
    reads: [topology.collection, ...secrets.collections, ...routes.collections],
    compute: (claim, read) => {
      const told = claim.asked.map((asked) => ({ asked, sections: sectionsOf(asked, claim, secrets, read) }));
      const counts = countsOf(claim, routes, read);
      const ports = portsOf(claim, (port) => topology.hasHttp3(port, read));
      const declared = told.filter(({ asked }) => asked.at.kind === 'named');
      return {
        reports: new Map(
          declared.map(
            ({ asked, sections }) =>
              [
                asked.resource,
                reportOf(asked, sections, asked.resource === `Gateway ${claim.gateway}` ? ports : [], counts),
              ] as const,
          ),
        ),
        conditions: told.flatMap(({ asked, sections }) => limited(conditionsOf(asked, sections, claim))),
      };
    },
  });
}

function sectionsOf(
  asked: AskedServers,
  claim: GatewayClaims,
  secrets: SecretsOfGateways,
  read: Read,
): readonly SectionProblems[] {
  return problemsOf(asked, claim, (reference) => secrets.stateOf(claim.gateway, reference, claim.namespace, read));
}

/** By server. */
function countsOf({ asked }: GatewayClaims, routes: RoutesOfGateways, read: Read): ReadonlyMap<string, number> {
  const servers = asked.filter(({ at }) => at.kind === 'named').flatMap((document) => document.servers);
  const byDocument = new Map(asked.map((document) => [document.resource, document.servers] as const));
  const lookups: NamespaceLookup = routes.lookupsFor(read);
  const { requests, connections }: GatewayRoutes = routes.of(servers, read);
  const serversOf = (gateway: string) => byDocument.get(gateway) ?? null;
  return attachedRoutes(
    [...requests, ...connections].map(({ route, parents }) => parentOutcomes(route, parents, serversOf, lookups)),
  );
}

function reportOf(
  asked: AskedServers,
  sections: readonly SectionProblems[],
  ports: readonly ReportedPort[],
  counts: ReadonlyMap<string, number>,
): GatewayReport {
  const { refusal } = asked;
  const refused: ReportedCondition[] = refusal === null ? [] : [{ type: 'Accepted', status: 'False', ...refusal }];
  return {
    ports,
    listeners: sections.map(({ section, supportedKinds, problems }): ListenerReport => ({
      name: section,
      attachedRoutes: asked.servers
        .filter((server) => server.section === section)
        .reduce((sum, server) => sum + (counts.get(serverKey(server)) ?? 0), 0),
      supportedKinds: supportedKinds.map((kind) => ({ group: gatewayGroup, kind })),
      conditions: reported(problems),
    })),
    conditions: refused,
  };
}

const protocols = { http: 'http', tls: 'https', tcp: 'tcp' } as const;

/**
 * As servers ask for them. A load balancer is opened for those alone who may say what a gateway of that namespace does: for it and its
 * ListenerSets, and for Istio Gateways beside it.
 */
function portsOf(
  { asked, ports, namespace }: GatewayClaims,
  hasHttp3: (port: SettledPort) => boolean,
): readonly ReportedPort[] {
  const own = asked.filter((document) => document.at.kind === 'named' || document.namespace === namespace);
  const numbers = new Set(own.flatMap(({ servers }) => servers.map(({ port }) => port)));
  const settled = [...new Set(ports.map((port) => port.settled))].filter(({ number }) => numbers.has(number));
  return settled
    .map((port) => ({ number: port.number, protocol: protocols[port.serves.kind], http3: hasHttp3(port) }))
    .sort((left, right) => left.number - right.number);
}

/** Each type once, with everything that is said of it. */
function reported(problems: readonly ListenerProblem[]): readonly ReportedCondition[] {
  const types = [...new Set(problems.map(({ type }) => type))];
  return types.map((type) => {
    const said = problems.filter((problem) => problem.type === type);
    const status = type === 'Conflicted' ? 'True' : 'False';
    const reason = said[0]?.reason ?? '';
    return { type, status, reason, message: [...new Set(said.map(({ message }) => message))].join('; ') };
  });
}

/** Of a listener by itself, so that the others are not spoken ill of. */
function conditionsOf(
  { resource, listeners, refusal }: AskedServers,
  sections: readonly SectionProblems[],
  { gateway }: GatewayClaims,
): readonly Condition[] {
  // What its document alone says wrong an Istio Gateway tells for all gateways.
  const told = new Set(resource.startsWith('IstioGateway ') ? listeners.flatMap(({ problems }) => problems) : []);
  return [
    ...(refusal === null ? [] : [condition(resource, 'Accepted', refusal.reason, refusal.message)]),
    ...sections.flatMap(({ section, problems }) =>
      problems
        .filter((problem) => !told.has(problem))
        .map(({ type, reason, message }) =>
          condition(`${resource}#${section}`, type, reason, `at the gateway ${gateway}: ${message}`),
        ),
    ),
  ];
}
