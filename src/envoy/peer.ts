import type {
  FilterSchema,
  ListenerFilterSchema,
} from '../proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import {
  ProxyProtocolSchema,
  ProxyProtocol_TlvLocation,
} from '../proto/gen/envoy-api/envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol_pb.ts';
import type { FilterStateValueSchema } from '../proto/gen/envoy-api/envoy/extensions/filters/common/set_filter_state/v3/value_pb.ts';
import { ConfigSchema as SetFilterStateSchema } from '../proto/gen/envoy-api/envoy/extensions/filters/network/set_filter_state/v3/set_filter_state_pb.ts';
import { escapeRegex, formatLiteral, typed } from './values.ts';
import type { Init } from './values.ts';

/** Who asks, as the node's engine says it in the header of each connection. */
export interface PeerFact {
  /** Type of the TLV in the PROXY header. */
  readonly tlv: number;
  /** Where Envoy keeps it: matched by routes and policies, printed by `%FILTER_STATE(…:PLAIN)%`. */
  readonly filterState: string;
}

/** The name under which Istio's own proxies keep it, so that what is written for them finds it. */
export const peerPrincipal: PeerFact = { tlv: 0xd0, filterState: 'io.istio.peer_principal' };
export const peerLabels: PeerFact = { tlv: 0xe7, filterState: 'ambit.peer.labels' };

/** What `peerPrincipal` is of clients of the namespace, as a regular expression of the whole. */
export function namespacePattern(namespace: string): string {
  return `spiffe://[^/]+/ns/${escapeRegex(namespace)}/sa/.+`;
}

/** What `peerLabels` is of clients that have the label. */
export function labelPattern(key: string, value: string): string {
  return `(.*,)?${escapeRegex(`${key}=${value}`)}(,.*)?`;
}

const peerFacts: readonly PeerFact[] = [
  peerPrincipal,
  { tlv: 0xe0, filterState: 'ambit.peer.uid' },
  { tlv: 0xe1, filterState: 'ambit.peer.canonical_name' },
  { tlv: 0xe2, filterState: 'ambit.peer.canonical_revision' },
  { tlv: 0xe3, filterState: 'ambit.peer.namespace' },
  { tlv: 0xe4, filterState: 'ambit.peer.workload' },
  { tlv: 0xe5, filterState: 'ambit.peer.cluster' },
  { tlv: 0xe6, filterState: 'ambit.peer.service_account' },
  peerLabels,
  { tlv: 0xe8, filterState: 'ambit.peer.connection_security' },
  { tlv: 0xe9, filterState: 'ambit.peer.app' },
  { tlv: 0xea, filterState: 'ambit.peer.version' },
];

/** Where Envoy keeps what the header says, each fact in a field of its own; chains are chosen by it, too. */
export const headerState = 'envoy.network.proxy_protocol.tlv';

/** Reads the header; a connection without one is closed. */
export function proxyHeaderFilter(): Init<typeof ListenerFilterSchema> {
  return typed('envoy.filters.listener.proxy_protocol', ProxyProtocolSchema, {
    rules: peerFacts.map(({ tlv, filterState }) => ({
      tlvType: tlv,
      onTlvPresent: { key: filterState },
    })),
    tlvLocation: ProxyProtocol_TlvLocation.FILTER_STATE,
  });
}

/** What connections of a chain know of themselves. */
export interface ConnectionState {
  /** Of every connection, by their keys. */
  readonly state: Readonly<Record<string, string>>;
  /** Whether connections begin with the header. Without one nobody is anybody, whatever a client says. */
  readonly announced: boolean;
}

/** Under names of their own, which routes, policies and logs ask for. */
export function connectionStateFilter({ state: known, announced }: ConnectionState): Init<typeof FilterSchema> {
  const peer = peerFacts.map(({ filterState }) =>
    state(filterState, `%FILTER_STATE(${headerState}:FIELD:${filterState})%`),
  );
  const others = Object.entries(known).map(([key, value]) => state(key, formatLiteral(value)));
  return typed('envoy.filters.network.set_filter_state', SetFilterStateSchema, {
    onNewConnection: [...(announced ? peer : []), ...others],
  });
}

function state(key: string, format: string): Init<typeof FilterStateValueSchema> {
  return {
    key: { case: 'objectKey' as const, value: key },
    factoryKey: 'envoy.string',
    value: { case: 'formatString' as const, value: text(format) },
    skipIfEmpty: true,
  };
}

function text(inlineString: string) {
  return {
    format: {
      case: 'textFormatSource' as const,
      value: { specifier: { case: 'inlineString' as const, value: inlineString } },
    },
    // An identity that is not there must be none, and not `-`.
    omitEmptyValues: true,
  };
}
