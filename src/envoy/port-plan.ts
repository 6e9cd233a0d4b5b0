import type { FilterChainSchema } from '../proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import { byFirstBytes, toChain } from './chain-matcher.ts';
import type { Branch } from './chain-matcher.ts';
import { choose, named, tcpTargets } from './connection-plan.ts';
import { httpChain } from './http-chain.ts';
import type { BoundPort, BoundService, ConnectionTarget, DestinationName, HttpSettings } from './model.ts';
import { chainName, refusedChain } from './names.ts';
import type { PolicyLookup } from './policies.ts';
import { connectionFilters } from './security/connection-rules.ts';
import type { Security } from './security/model.ts';
import { requestFilters } from './security/request-filters.ts';
import { asksForServerName } from './security/server-names.ts';
import { refusingChain, refusingChains, tcpChain } from './tcp-chain.ts';
import { serviceTelemetry } from './metrics/chain.ts';
import type { Init } from './values.ts';

/** What must be read of a connection before its chain can be chosen. */
export type Inspection = 'http' | 'tls';

/** How the chain of a connection to one port of a service is found. */
export interface PortPlan {
  readonly branch: Branch;
  /** The same for those who may not connect: rules for requests have their own answer. */
  readonly refused: Branch;
  readonly inspections: readonly Inspection[];
  /** How much the branch asks of those who may connect, in single facts. */
  readonly asked: number;
}

/** Whether a port speaks HTTP: said, or asked for by what only HTTP can honour. `unknown`: the first bytes tell. */
export function carriedBy(
  { security }: Pick<BoundService, 'security'>,
  { protocol, rules }: Pick<BoundPort, 'protocol' | 'rules'>,
): 'http' | 'tcp' | 'unknown' {
  switch (protocol) {
    case 'http1':
    case 'http2':
    case 'grpc':
      return 'http';
    case 'tcp':
    case 'tls':
      return 'tcp';
    case null:
      // Taking it for bytes whenever the first ones come late would be a way around the rules, and around tokens and limits.
      return rules === null && !asksForHttp(security) ? 'unknown' : 'http';
  }
}

/** Policies close what they cannot see of connections that are no HTTP; these would be gone past. */
export function asksForHttp({ issuers, limits }: Security): boolean {
  return issuers.length > 0 || limits.length > 0;
}

type Chain = Init<typeof FilterChainSchema>;

/** @returns what does not change with what the chains do */
export function planPort(service: BoundService, port: BoundPort): PortPlan {
  const http = toChain(chainName(service, port, 'http'));
  switch (carriedBy(service, port)) {
    case 'http':
      return { branch: http, refused: http, inspections: [], asked: 0 };
    case 'tcp':
      return planTcp(service, port);
    case 'unknown': {
      const tcp = planTcp(service, port);
      return {
        branch: byFirstBytes(http, tcp.branch),
        refused: byFirstBytes(http, tcp.refused),
        inspections: ['http', ...tcp.inspections],
        asked: tcp.asked,
      };
    }
  }
}

function planTcp(service: BoundService, port: BoundPort): PortPlan {
  const base = chainName(service, port, 'tcp');
  const inspections: readonly Inspection[] = service.security.policies.some(asksForServerName) ? ['tls'] : [];
  return { ...planConnections(port, base, inspections), refused: toChain(refusedChain(base)) };
}

type OpenPlan = Omit<PortPlan, 'refused'>;

/** Of those who may connect. */
function planConnections({ connections }: BoundPort, base: string, inspections: readonly Inspection[]): OpenPlan {
  if (connections === null || connections.length === 0) return { branch: toChain(base), inspections, asked: 0 };
  const { branch, readsNames, asked } = choose(named(connections, base));
  return { branch, inspections: readsNames ? ['tls'] : inspections, asked };
}

/** The chains that the plan of the port leads to. */
export function portChains(
  service: BoundService,
  port: BoundPort,
  http: HttpSettings,
  policies: PolicyLookup,
): readonly Chain[] {
  const carried = carriedBy(service, port);
  return [
    ...(carried === 'tcp' ? [] : [requestChain(service, port, http, policies)]),
    ...(carried === 'http' ? [] : byteChains(service, port, http, policies)),
  ];
}

function requestChain(service: BoundService, port: BoundPort, http: HttpSettings, policies: PolicyLookup): Chain {
  const name = chainName(service, port, 'http');
  return httpChain(name, {
    http,
    telemetry: serviceTelemetry(service),
    routes: name,
    grpc: port.protocol !== 'http1',
    security: requestFilters(service.security, policies),
    watched: service.security.policies,
  });
}

function byteChains(
  service: BoundService,
  port: BoundPort,
  { accessLog }: HttpSettings,
  policies: PolicyLookup,
): readonly Chain[] {
  const base = chainName(service, port, 'tcp');
  const { namespace, hostname, security } = service;
  const own: DestinationName = { namespace, hostname, port: port.number, subset: null };
  const settings = { accessLog, telemetry: serviceTelemetry(service) };
  const chain = (name: string, targets: readonly ConnectionTarget[]) =>
    tcpChain(name, tcpTargets(targets), {
      ...settings,
      policies: targets.flatMap(({ destination }) => policies(destination) ?? []),
      security: connectionFilters(security.policies, { statPrefix: base, destinations: policies }),
      watched: security.policies,
    });
  const chains = connectionChains(port, base, own).map(({ name, targets }) => chain(name, targets));
  // Rules that ask more than there is room for are closed for everybody.
  if (planConnections(port, base, []).asked > 0) return [...chains, refusingChain(base, settings)];
  return [...chains, ...refusingChains(base, security.policies, settings)];
}

interface ConnectionChain {
  readonly name: string;
  readonly targets: readonly ConnectionTarget[];
}

function connectionChains(
  { connections }: BoundPort,
  base: string,
  destination: DestinationName,
): readonly ConnectionChain[] {
  if (connections === null) return [{ name: base, targets: [{ destination, weight: 1 }] }];
  // Of rules that are none of which holds nothing is reached.
  if (connections.length === 0) return [{ name: base, targets: [] }];
  return named(connections, base).map(({ rule, name }) => ({ name, targets: rule.targets }));
}
