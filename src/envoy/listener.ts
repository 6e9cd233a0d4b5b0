import { create } from '@bufbuild/protobuf';
import { TrafficDirection } from '../proto/gen/envoy-api/envoy/config/core/v3/base_pb.ts';
import { ListenerSchema } from '../proto/gen/envoy-api/envoy/config/listener/v3/listener_pb.ts';
import type { Listener } from '../proto/gen/envoy-api/envoy/config/listener/v3/listener_pb.ts';
import type {
  FilterChainSchema,
  ListenerFilterChainMatchPredicateSchema,
  ListenerFilterSchema,
} from '../proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import { HttpInspectorSchema } from '../proto/gen/envoy-api/envoy/extensions/filters/listener/http_inspector/v3/http_inspector_pb.ts';
import { TlsInspectorSchema } from '../proto/gen/envoy-api/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.ts';
import { byDestination, byFirstBytes, byPort, toChain } from './chain-matcher.ts';
import type { Branch } from './chain-matcher.ts';
import { httpChain } from './http-chain.ts';
import type { BoundWorkload, WaypointInput } from './model.ts';
import { directCluster, handoverPort, waypointListener } from './names.ts';
import { proxyHeaderFilter } from './peer.ts';
import { policyLookup } from './policies.ts';
import type { PolicyLookup } from './policies.ts';
import { asksForHttp, planPort } from './port-plan.ts';
import type { Inspection } from './port-plan.ts';
import { connectionFilters } from './security/connection-rules.ts';
import { requestFilters } from './security/request-filters.ts';
import { gatedTcp, tcpChain } from './tcp-chain.ts';
import { workloadTelemetry } from './metrics/chain.ts';
import { duration, typed } from './values.ts';
import type { Init } from './values.ts';
import { groupWorkloads } from './workload-chains.ts';
import type { WorkloadGroup } from './workload-chains.ts';

/**
 * How long the first bytes of a connection are waited for. The header comes at once from our own engine; after it only
 * a server that speaks first, on a port of which nobody says so, makes its client wait this long.
 */
const firstBytesTime = 3_000;

/** The one listener of a waypoint; null where nothing is bound to it, for Envoy refuses one without chains. */
export function buildListener(input: WaypointInput): Listener | null {
  const table = new ConnectionTable();
  const policies = policyLookup(input.destinations);
  for (const service of input.services) {
    for (const port of service.ports) {
      const plan = planPort(service, port, input, policies);
      table.addChains(plan.chains);
      table.inspect(port.number, plan.inspections, port.protocol === 'tcp' || port.protocol === 'tls');
      for (const address of service.addresses) table.addPort(address, port.number, plan.branch);
    }
  }
  for (const group of groupWorkloads(input.workloads)) addWorkloads(table, group, input, policies);
  return table.isEmpty() ? null : table.listener();
}

/** Pods that are reached by their own addresses. */
function addWorkloads(
  table: ConnectionTable,
  group: WorkloadGroup,
  { http }: WaypointInput,
  policies: PolicyLookup,
): void {
  const { names, labels, security } = group;
  const telemetry = workloadTelemetry(labels);
  const filters = {
    requests: requestFilters(security, policies),
    bytes: connectionFilters(security.policies, names.tcp),
  };
  const settings = { accessLog: http.accessLog, telemetry };
  const tcp = gatedTcp(names.tcp, toChain(names.tcp), security.policies, settings);
  table.addChains([
    httpChain(names.http, { http, telemetry, routes: names.routes, grpc: true, security: filters.requests }),
    tcpChain(names.tcp, [{ cluster: directCluster, weight: 1 }], {
      ...settings,
      policies: [],
      security: filters.bytes,
    }),
    ...tcp.chains,
  ]);
  const branches = { http: toChain(names.http), tcp: tcp.branch };
  for (const workload of group.workloads) {
    for (const address of workload.addresses) addWorkload(table, workload, address, branches);
  }
}

function addWorkload(
  table: ConnectionTable,
  { protocols, security }: BoundWorkload,
  address: string,
  { http, tcp }: { readonly http: Branch; readonly tcp: Branch },
): void {
  for (const [port, protocol] of protocols) {
    const bytes = protocol === 'tcp' || protocol === 'tls';
    table.addPort(address, port, bytes ? tcp : http);
    table.inspect(port, [], bytes);
  }
  table.addRest(address, asksForHttp(security) ? http : byFirstBytes(http, tcp));
}

type Chain = Init<typeof FilterChainSchema>;

/** Where connections go by address and port, and what has to be read of them first. */
class ConnectionTable {
  readonly #chains: Chain[] = [];
  readonly #addresses = new Map<string, { ports: Map<string, Branch>; rest: Branch | undefined }>();
  readonly #inspected = { http: new Set<number>(), tls: new Set<number>() };
  readonly #bytes = new Set<number>();

  addChains(chains: readonly Chain[]): void {
    this.#chains.push(...chains);
  }

  /** Of two that claim one address and port the first has it. */
  addPort(address: string, port: number, branch: Branch): void {
    const { ports } = this.#entry(address);
    const key = String(port);
    if (!ports.has(key)) ports.set(key, branch);
  }

  addRest(address: string, branch: Branch): void {
    this.#entry(address).rest ??= branch;
  }

  /** @param bytes somebody says that the port speaks no HTTP, so that its server may speak first */
  inspect(port: number, inspections: readonly Inspection[], bytes: boolean): void {
    for (const inspection of inspections) this.#inspected[inspection].add(port);
    if (bytes) this.#bytes.add(port);
  }

  isEmpty(): boolean {
    return this.#addresses.size === 0;
  }

  listener(): Listener {
    const branches = [...this.#addresses].map(([address, { ports, rest }]): [string, Branch] => [
      address,
      byPort(ports, rest),
    ]);
    const inspectors = this.#inspectors();
    return create(ListenerSchema, {
      name: waypointListener,
      address: socketAddress(),
      trafficDirection: TrafficDirection.INBOUND,
      listenerFilters: [proxyHeaderFilter(), ...inspectors],
      listenerFiltersTimeout: duration(firstBytesTime),
      // Without its header a connection matches no chain, so going on is for servers that speak first.
      continueOnListenerFiltersTimeout: inspectors.length > 0,
      filterChains: this.#chains,
      filterChainMatcher: byDestination(new Map(branches)),
    });
  }

  #entry(address: string): { ports: Map<string, Branch>; rest: Branch | undefined } {
    const known = this.#addresses.get(address);
    if (known !== undefined) return known;
    const made = { ports: new Map<string, Branch>(), rest: undefined };
    this.#addresses.set(address, made);
    return made;
  }

  #inspectors(): Init<typeof ListenerFilterSchema>[] {
    const { http, tls } = this.#inspected;
    const inspectors: Init<typeof ListenerFilterSchema>[] = [];
    if (tls.size > 0) {
      const filter = typed('envoy.filters.listener.tls_inspector', TlsInspectorSchema);
      inspectors.push({ ...filter, filterDisabled: not(onPorts(tls)) });
    }
    const anyPort = [...this.#addresses.values()].some(({ rest }) => rest !== undefined);
    if (http.size > 0 || anyPort) {
      const filter = typed('envoy.filters.listener.http_inspector', HttpInspectorSchema);
      inspectors.push({ ...filter, filterDisabled: anyPort ? this.#onlyBytes() : not(onPorts(http)) });
    }
    return inspectors;
  }

  #onlyBytes(): Predicate {
    const ports = [...this.#bytes].filter((port) => !this.#inspected.http.has(port));
    return ports.length === 0 ? not(anything) : onPorts(new Set(ports));
  }
}

type Predicate = Init<typeof ListenerFilterChainMatchPredicateSchema>;

const anything: Predicate = { rule: { case: 'anyMatch', value: true } };

function not(predicate: Predicate): Predicate {
  return { rule: { case: 'notMatch', value: predicate } };
}

/** @param ports at least one */
function onPorts(ports: ReadonlySet<number>): Predicate {
  const rules = [...ports]
    .toSorted((left, right) => left - right)
    .map((port): Predicate => ({ rule: { case: 'destinationPortRange', value: { start: port, end: port + 1 } } }));
  const [first] = rules;
  // Envoy refuses a list of one.
  return rules.length === 1 && first !== undefined ? first : { rule: { case: 'orMatch', value: { rules } } };
}

function socketAddress() {
  return {
    address: {
      case: 'socketAddress' as const,
      value: { address: '127.0.0.1', portSpecifier: { case: 'portValue' as const, value: handoverPort } },
    },
  };
}
