import type { FilterChainSchema } from '../proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import { byFirstBytes, byRule, toChain } from './chain-matcher.ts';
import type { Branch } from './chain-matcher.ts';
import { httpChain } from './http-chain.ts';
import type {
  BoundPort,
  BoundService,
  ConnectionRule,
  ConnectionTarget,
  DestinationName,
  WaypointInput,
} from './model.ts';
import { chainName, clusterName, missingCluster } from './names.ts';
import type { PolicyLookup } from './policies.ts';
import { asksForServerName, connectionFilters } from './security/connection-rules.ts';
import type { Security } from './security/model.ts';
import { requestFilters } from './security/request-filters.ts';
import { gatedTcp, tcpChain } from './tcp-chain.ts';
import type { TcpTarget } from './tcp-chain.ts';
import { serviceTelemetry } from './metrics/chain.ts';
import type { Init } from './values.ts';

/** What must be read of a connection before its chain can be chosen. */
export type Inspection = 'http' | 'tls';

/** How connections to one port of a service are taken. */
export interface PortPlan {
  readonly chains: readonly Init<typeof FilterChainSchema>[];
  readonly branch: Branch;
  readonly inspections: readonly Inspection[];
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

export function planPort(
  service: BoundService,
  port: BoundPort,
  input: WaypointInput,
  policies: PolicyLookup,
): PortPlan {
  switch (carriedBy(service, port)) {
    case 'http':
      return planHttp(service, port, input, policies);
    case 'tcp':
      return planTcp(service, port, input, policies);
    case 'unknown': {
      const http = planHttp(service, port, input, policies);
      const tcp = planTcp(service, port, input, policies);
      const branch = byFirstBytes(http.branch, tcp.branch);
      return { chains: [...http.chains, ...tcp.chains], branch, inspections: ['http', ...tcp.inspections] };
    }
  }
}

function planHttp(service: BoundService, port: BoundPort, { http }: WaypointInput, policies: PolicyLookup): PortPlan {
  const name = chainName(service, port, 'http');
  const chain = httpChain(name, {
    http,
    telemetry: serviceTelemetry(service),
    routes: name,
    grpc: port.protocol !== 'http1',
    security: requestFilters(service.security, policies),
  });
  return { chains: [chain], branch: toChain(name), inspections: [] };
}

function planTcp(service: BoundService, port: BoundPort, input: WaypointInput, policies: PolicyLookup): PortPlan {
  const base = chainName(service, port, 'tcp');
  const plan = planConnections(service, port, input, policies);
  const settings = { accessLog: input.http.accessLog, telemetry: serviceTelemetry(service) };
  const { chains, branch } = gatedTcp(base, plan.branch, service.security.policies, settings);
  return { ...plan, chains: [...plan.chains, ...chains], branch };
}

/** Of those who may connect. */
function planConnections(
  service: BoundService,
  port: BoundPort,
  input: WaypointInput,
  policies: PolicyLookup,
): PortPlan {
  const base = chainName(service, port, 'tcp');
  const { namespace, hostname } = service;
  const own: DestinationName = { namespace, hostname, port: port.number, subset: null };
  const chain = (name: string, targets: readonly ConnectionTarget[]) =>
    tcpChain(name, tcpTargets(targets), {
      accessLog: input.http.accessLog,
      telemetry: serviceTelemetry(service),
      policies: targets.flatMap(({ destination }) => policies(destination) ?? []),
      security: connectionFilters(service.security.policies, base),
    });
  const inspections: readonly Inspection[] = service.security.policies.some(asksForServerName) ? ['tls'] : [];
  if (port.connections === null || port.connections.length === 0) {
    // Of rules that are none of which holds nothing is reached.
    const targets = port.connections === null ? [{ destination: own, weight: 1 }] : [];
    return { chains: [chain(base, targets)], branch: toChain(base), inspections };
  }
  const named = port.connections.map((rule, index) => ({ rule, name: index === 0 ? base : `${base}|${index}` }));
  const chains = named.map(({ rule, name }) => chain(name, rule.targets));
  return { chains, ...choose(named, inspections) };
}

/** The first rule that asks for nothing takes what the ones before it leave. */
function choose(
  named: readonly { readonly rule: ConnectionRule; readonly name: string }[],
  inspections: readonly Inspection[],
): Pick<PortPlan, 'branch' | 'inspections'> {
  const open = named.findIndex(({ rule }) => rule.serverNames.length === 0 && rule.from === null);
  const asking = open < 0 ? named : named.slice(0, open);
  const otherwise = named[open];
  const last = otherwise === undefined ? undefined : toChain(otherwise.name);
  if (asking.length === 0 && last !== undefined) return { branch: last, inspections };
  const branches = asking.map(({ rule, name }) => ({ rule, branch: toChain(name) }));
  // Reading a name takes the client's first bytes: a server that speaks first is not to wait for them without need.
  const names = asking.some(({ rule }) => rule.serverNames.length > 0);
  return { branch: byRule(branches, last), inspections: names ? ['tls'] : inspections };
}

/** Envoy wants weights above zero; with none left nothing is reached. */
function tcpTargets(targets: readonly ConnectionTarget[]): readonly TcpTarget[] {
  const used = targets.filter(({ weight }) => weight > 0);
  if (used.length === 0) return [{ cluster: missingCluster, weight: 1 }];
  return used.map(({ destination, weight }) => ({
    cluster: destination === null ? missingCluster : clusterName(destination),
    weight,
  }));
}
