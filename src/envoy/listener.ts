import { create } from '@bufbuild/protobuf';
import { TrafficDirection } from '../proto/gen/envoy-api/envoy/config/core/v3/base_pb.ts';
import { ListenerSchema } from '../proto/gen/envoy-api/envoy/config/listener/v3/listener_pb.ts';
import type { Listener } from '../proto/gen/envoy-api/envoy/config/listener/v3/listener_pb.ts';
import type {
  ListenerFilterChainMatchPredicateSchema,
  ListenerFilterSchema,
} from '../proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import { HttpInspectorSchema } from '../proto/gen/envoy-api/envoy/extensions/filters/listener/http_inspector/v3/http_inspector_pb.ts';
import { TlsInspectorSchema } from '../proto/gen/envoy-api/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.ts';
import { byAddress } from './chain-matcher.ts';
import type { Entrance } from './entrances.ts';
import { handoverPort, waypointListener } from './names.ts';
import { proxyHeaderFilter } from './peer.ts';
import type { Inspection } from './port-plan.ts';
import { aggregated, duration, typed } from './values.ts';
import type { Init } from './values.ts';

/**
 * How long the first bytes of a connection are waited for. The header comes at once from our own engine; after it only
 * a server that speaks first, on a port of which nobody says so, makes its client wait this long.
 */
const firstBytesTime = 3_000;
const closedChain = 'closed';

/**
 * The one listener of a waypoint; null where nothing is bound to it. It names chains and holds none: Envoy asks for each by its
 * name, so that what one of them does changes without all others being read again.
 *
 * @param entrances of several that have one address and port the first has it
 */
export function buildListener(entrances: readonly Entrance[]): Listener | null {
  const places = entrances.filter(({ addresses }) => addresses.length > 0);
  if (places.length === 0) return null;
  const inspectors = inspectorsOf(places);
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
    filterChainMatcher: byAddress(places),
  });
}

type ListenerFilter = Init<typeof ListenerFilterSchema>;

const inspectors: readonly { readonly reads: Inspection; readonly filter: ListenerFilter }[] = [
  { reads: 'tls', filter: typed('envoy.filters.listener.tls_inspector', TlsInspectorSchema) },
  { reads: 'http', filter: typed('envoy.filters.listener.http_inspector', HttpInspectorSchema) },
];

/** What is read of connections before they have a chain. Envoy knows ports here, and no addresses. */
function inspectorsOf(entrances: readonly Entrance[]): readonly ListenerFilter[] {
  const ports = entrances.flatMap((entrance) => entrance.ports);
  const bytes = new Set(ports.filter((port) => port.bytes).map(({ number }) => number));
  return inspectors.flatMap(({ reads, filter }) => {
    const asking = ports.filter(({ inspections }) => inspections.includes(reads));
    const asked = new Set(asking.map(({ number }) => number));
    if (entrances.some(({ anyPort }) => anyPort?.includes(reads) === true)) {
      return [{ ...filter, filterDisabled: onPorts(difference(bytes, asked)) }];
    }
    return asked.size === 0 ? [] : [{ ...filter, filterDisabled: not(onPorts(asked)) }];
  });
}

function difference(ports: ReadonlySet<number>, without: ReadonlySet<number>): ReadonlySet<number> {
  return new Set([...ports].filter((port) => !without.has(port)));
}

type Predicate = Init<typeof ListenerFilterChainMatchPredicateSchema>;

const anything: Predicate = { rule: { case: 'anyMatch', value: true } };

function not(predicate: Predicate): Predicate {
  return { rule: { case: 'notMatch', value: predicate } };
}

function onPorts(ports: ReadonlySet<number>): Predicate {
  const rules = [...ports]
    .toSorted((left, right) => left - right)
    .map((port): Predicate => ({ rule: { case: 'destinationPortRange', value: { start: port, end: port + 1 } } }));
  const [first, ...others] = rules;
  if (first === undefined) return not(anything);
  // Envoy refuses a list of one.
  return others.length === 0 ? first : { rule: { case: 'orMatch', value: { rules } } };
}

function socketAddress() {
  return {
    address: {
      case: 'socketAddress' as const,
      value: { address: '127.0.0.1', portSpecifier: { case: 'portValue' as const, value: handoverPort } },
    },
  };
}
