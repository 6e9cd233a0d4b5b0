import { create } from '@bufbuild/protobuf';
import type { MessageShape } from '@bufbuild/protobuf';
import type { AppProtocol } from '../model/workload.ts';
import { TrafficDirection } from '../proto/gen/envoy-api/envoy/config/core/v3/base_pb.ts';
import { ListenerSchema } from '../proto/gen/envoy-api/envoy/config/listener/v3/listener_pb.ts';
import type { Listener } from '../proto/gen/envoy-api/envoy/config/listener/v3/listener_pb.ts';
import type {
  ListenerFilterChainMatchPredicateSchema,
  ListenerFilterSchema,
} from '../proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import { HttpInspectorSchema } from '../proto/gen/envoy-api/envoy/extensions/filters/listener/http_inspector/v3/http_inspector_pb.ts';
import { TlsInspectorSchema } from '../proto/gen/envoy-api/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.ts';
import { Matcher_OnMatchSchema } from '../proto/gen/envoy-api/xds/type/matcher/v3/matcher_pb.ts';
import { byDestination, byFirstBytes, byPort, toChain } from './chain-matcher.ts';
import type { Branch } from './chain-matcher.ts';
import type { BoundService, BoundWorkload } from './model.ts';
import { handoverPort, waypointListener } from './names.ts';
import { proxyHeaderFilter } from './peer.ts';
import { asksForHttp, planPort } from './port-plan.ts';
import type { Inspection, PortPlan } from './port-plan.ts';
import { gateTcp } from './tcp-chain.ts';
import { aggregated, duration, typed } from './values.ts';
import type { Init } from './values.ts';
import { groupWorkloads } from './workload-chains.ts';
import type { WorkloadGroup } from './workload-chains.ts';

/**
 * How long the first bytes of a connection are waited for. The header comes at once from our own engine; after it only
 * a server that speaks first, on a port of which nobody says so, makes its client wait this long.
 */
const firstBytesTime = 3_000;
const closedChain = 'closed';

/** How connections to a service find their chains. */
export interface ServiceEntrance {
  /** Canonical text. */
  readonly addresses: readonly string[];
  readonly ports: readonly PortEntrance[];
}

interface PortEntrance extends Pick<PortPlan, 'inspections'> {
  readonly number: number;
  /** As a message, so that a listener of many services makes each once only. */
  readonly branch: BranchMessage;
  /** Somebody says that it speaks no HTTP. */
  readonly bytes: boolean;
}

export function entranceOf(service: BoundService): ServiceEntrance {
  const ports = service.ports.map((port): PortEntrance => {
    const { branch, inspections } = planPort(service, port);
    return { number: port.number, branch: message(branch), inspections, bytes: isBytes(port.protocol) };
  });
  return { addresses: service.addresses, ports };
}

export interface ListenerInput {
  readonly services: readonly ServiceEntrance[];
  readonly workloads: readonly BoundWorkload[];
}

/**
 * The one listener of a waypoint; null where nothing is bound to it. It names chains and holds none: Envoy asks for each by its
 * name, so that what one of them does changes without all others being read again.
 */
export function buildListener({ services, workloads }: ListenerInput): Listener | null {
  const table = new ConnectionTable();
  for (const { addresses, ports } of services) {
    for (const { number, branch, inspections, bytes } of ports) {
      table.inspect(number, inspections, bytes);
      for (const address of addresses) table.addPort(address, number, branch);
    }
  }
  for (const group of groupWorkloads(workloads)) {
    const branches = branchesOf(group);
    for (const workload of group.workloads) {
      for (const address of workload.addresses) addWorkload(table, workload, address, branches);
    }
  }
  return table.isEmpty() ? null : table.listener();
}

interface WorkloadBranches {
  readonly http: BranchMessage;
  readonly tcp: BranchMessage;
}

function branchesOf({ names, security }: WorkloadGroup): WorkloadBranches {
  const tcp = gateTcp(names.tcp, toChain(names.tcp), security.policies);
  return { http: message(toChain(names.http)), tcp: message(tcp) };
}

function addWorkload(
  table: ConnectionTable,
  { protocols, security }: BoundWorkload,
  address: string,
  { http, tcp }: WorkloadBranches,
): void {
  for (const [port, protocol] of protocols) {
    const bytes = isBytes(protocol);
    table.addPort(address, port, bytes ? tcp : http);
    table.inspect(port, [], bytes);
  }
  table.addRest(address, asksForHttp(security) ? http : message(byFirstBytes(http, tcp)));
}

function isBytes(protocol: AppProtocol | null): boolean {
  return protocol === 'tcp' || protocol === 'tls';
}

type BranchMessage = MessageShape<typeof Matcher_OnMatchSchema>;

function message(branch: Branch): BranchMessage {
  return create(Matcher_OnMatchSchema, branch);
}

/** Of one address. */
interface Entrances {
  readonly ports: Map<string, BranchMessage>;
  rest: BranchMessage | undefined;
}

/** Where connections go by address and port, and what has to be read of them first. */
class ConnectionTable {
  readonly #addresses = new Map<string, Entrances>();
  readonly #inspected = { http: new Set<number>(), tls: new Set<number>() };
  readonly #bytes = new Set<number>();

  /** Of two that claim one address and port the first has it. */
  addPort(address: string, port: number, branch: BranchMessage): void {
    const { ports } = this.#entry(address);
    const key = String(port);
    if (!ports.has(key)) ports.set(key, branch);
  }

  addRest(address: string, branch: BranchMessage): void {
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
      // Never matched; a listener without any of its own Envoy replaces as a whole, with every connection that it has.
      filterChains: [{ name: closedChain }],
      fcdsConfig: { configSource: aggregated() },
      filterChainMatcher: byDestination(new Map(branches)),
    });
  }

  #entry(address: string): Entrances {
    const known = this.#addresses.get(address);
    if (known !== undefined) return known;
    const made: Entrances = { ports: new Map(), rest: undefined };
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
