import type { MetadataSchema } from '../../proto/gen/envoy-api/envoy/config/core/v3/base_pb.ts';
import type { BoundService, Destination, WorkloadLabels } from '../model.ts';
import { formatLiteral } from '../values.ts';
import type { Init } from '../values.ts';
import { serviceName } from './service-name.ts';

/** A label of metrics, which is also a key of the access log, and the text by which Envoy finds its value. */
export type Label = readonly [name: string, format: string];

/** Labels as Istio has them, after `source_` and `destination_`. */
const workloadLabels = {
  workload: 'workload',
  workload_namespace: 'namespace',
  principal: 'principal',
  app: 'app',
  version: 'version',
  cluster: 'cluster',
  canonical_service: 'canonicalService',
  canonical_revision: 'canonicalRevision',
} as const satisfies Record<string, keyof WorkloadLabels>;

const labelNames = Object.entries(workloadLabels);

/** What a label says where nothing is known: Envoy takes no empty text for one. */
const unknown = 'unknown';

/** Where endpoints and clusters keep what is said of them. */
const metadataKey = 'ambit';

const peerStates: Record<keyof WorkloadLabels, string> = {
  workload: 'ambit.peer.workload',
  namespace: 'ambit.peer.namespace',
  principal: 'io.istio.peer_principal',
  app: 'ambit.peer.app',
  version: 'ambit.peer.version',
  cluster: 'ambit.peer.cluster',
  canonicalService: 'ambit.peer.canonical_name',
  canonicalRevision: 'ambit.peer.canonical_revision',
};

/** Of the client, as the header of its connection says. */
export const sourceLabels: readonly Label[] = labelNames.map(([label, field]) => [
  `source_${label}`,
  filterState(peerStates[field]),
]);

/** Of the endpoint that a request or connection was sent to; nothing where none was chosen. */
export const endpointLabels: readonly Label[] = labelNames.map(([label, field]) => [
  `destination_${label}`,
  `%UPSTREAM_METADATA(${metadataKey}:${field})%`,
]);

/** Of a workload of which it is certain beforehand which one it is. */
export function fixedLabels(end: 'source' | 'destination', labels: WorkloadLabels | null): readonly Label[] {
  return labelNames.map(([label, field]) => [`${end}_${label}`, formatLiteral(labels?.[field] || unknown)]);
}

/** The service that was sent to, which rules may have chosen; before that is decided, the one that was asked for. */
export const serviceLabels: readonly Label[] = (['service', 'service_name', 'service_namespace'] as const).map(
  (label) => [
    `destination_${label}`,
    firstOf(['CLUSTER_METADATA', `${metadataKey}:${label}`], ['FILTER_STATE', `${metadataKey}.${label}:PLAIN`]),
  ],
);

/** How a client has come. */
export const peerSecurity: Label = ['connection_security_policy', filterState('ambit.peer.connection_security')];
/** As Istio's proxies have it where they tell of what they send themselves. */
export const unknownSecurity: Label = ['connection_security_policy', unknown];

/** What metrics and logs say of a chain's traffic. Chains that say the same share one object. */
export interface TrafficLabels {
  readonly reporter: 'waypoint' | 'source';
  /** Of whoever sends. */
  readonly source: readonly Label[];
  /** Of the workload that is sent to. */
  readonly destination: readonly Label[];
  readonly security: Label;
}

/** Those that both ends and their connection have, the service's among them. */
export function labelsOf({ source, destination, security }: TrafficLabels): readonly Label[] {
  return [...source, ...destination, ...serviceLabels, security];
}

/** Every label that a metric of traffic may have. */
export const trafficLabelNames: readonly string[] = [
  'reporter',
  ...[...sourceLabels, ...endpointLabels, ...serviceLabels, peerSecurity].map(([name]) => name),
  ...['request_protocol', 'response_code', 'grpc_response_status', 'response_flags'],
];

export function endpointMetadata(labels: WorkloadLabels): Init<typeof MetadataSchema> {
  const known = labelNames.map(([, field]) => [field, labels[field]] as const).filter(([, value]) => value !== '');
  return { filterMetadata: { [metadataKey]: Object.fromEntries(known) } };
}

export function clusterMetadata({ hostname, namespace }: Destination): Init<typeof MetadataSchema> {
  return { filterMetadata: { [metadataKey]: { ...serviceFacts({ hostname, namespace }) } } };
}

/** State of connections that ask for the service. */
export function serviceState(service: BoundService): Readonly<Record<string, string>> {
  return stateOf(serviceFacts(service));
}

/** State of connections that ask for none: only their requests' routes know one. */
export const noServiceState = stateOf({ service: unknown, service_name: unknown, service_namespace: unknown });

function stateOf(facts: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(facts).map(([key, value]) => [`${metadataKey}.${key}`, value]));
}

/** What `serviceLabels` are made of. */
function serviceFacts({ hostname, namespace }: Pick<BoundService, 'hostname' | 'namespace'>): Record<string, string> {
  return { service: hostname, service_name: serviceName(hostname, namespace), service_namespace: namespace };
}

function filterState(key: string): string {
  return `%FILTER_STATE(${key}:PLAIN)%`;
}

function firstOf(...operators: readonly (readonly [command: string, parameter: string])[]): string {
  const list = operators.map(([command, param]) => ({ command, param }));
  return `%COALESCE(${JSON.stringify({ operators: list })})%`;
}
