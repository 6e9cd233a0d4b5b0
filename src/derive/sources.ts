import type { DocumentTypes, ResourceKind } from '../config/manifests/resources.ts';
import { meshSettingsSchema } from '../config/manifests/schemas/mesh-settings.ts';
import type { DocumentChange } from '../config/mesh-input.ts';
import type { CollectionGraph } from './collections/collection-graph.ts';
import type { SourceCollection } from './collections/source-collection.ts';

/** What everything is computed from: the documents in force, by kind. */
export type Sources = { readonly [Kind in ResourceKind]: SourceCollection<DocumentTypes[Kind]> };

export function createSources(graph: CollectionGraph): Sources {
  const source = <Kind extends ResourceKind>(kind: Kind): SourceCollection<DocumentTypes[Kind]> => graph.source(kind);
  return {
    MeshSettings: source('MeshSettings'),
    Namespace: source('Namespace'),
    Node: source('Node'),
    Pod: source('Pod'),
    Service: source('Service'),
    PeerAuthentication: source('PeerAuthentication'),
    AuthorizationPolicy: source('AuthorizationPolicy'),
    RequestAuthentication: source('RequestAuthentication'),
    RateLimitPolicy: source('RateLimitPolicy'),
    FetchedKeys: source('FetchedKeys'),
    UnreadableObject: source('UnreadableObject'),
    NetworkPolicy: source('NetworkPolicy'),
    ForeignNetworkPolicy: source('ForeignNetworkPolicy'),
    EndpointSlice: source('EndpointSlice'),
    ServiceEntry: source('ServiceEntry'),
    WorkloadEntry: source('WorkloadEntry'),
    WorkloadGroup: source('WorkloadGroup'),
    Gateway: source('Gateway'),
    GatewayClass: source('GatewayClass'),
    ListenerSet: source('ListenerSet'),
    IstioGateway: source('IstioGateway'),
    Ingress: source('Ingress'),
    IngressClass: source('IngressClass'),
    Secret: source('Secret'),
    ConfigMap: source('ConfigMap'),
    BackendTLSPolicy: source('BackendTLSPolicy'),
    HTTPRoute: source('HTTPRoute'),
    GRPCRoute: source('GRPCRoute'),
    TCPRoute: source('TCPRoute'),
    TLSRoute: source('TLSRoute'),
    ReferenceGrant: source('ReferenceGrant'),
    VirtualService: source('VirtualService'),
    DestinationRule: source('DestinationRule'),
    UnsupportedKind: source('UnsupportedKind'),
  };
}

/** There is one document of settings at all times: where none is given, the one that says nothing. */
export const settingsKey = 'MeshSettings';
const silentSettings = meshSettingsSchema.parse({ apiVersion: 'ambit.dev/v1alpha1', kind: 'MeshSettings' });

export function setSource(sources: Sources, { kind, key, document }: DocumentChange): void {
  if (kind === 'MeshSettings') {
    sources.MeshSettings.set(settingsKey, document ?? silentSettings);
    return;
  }
  // Kind and document belong together by the parameter's type, which TypeScript cannot follow through an indexed access.
  (sources[kind] as SourceCollection<object>).set(key, document);
}
