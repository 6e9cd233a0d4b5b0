import type { ResourceKind } from '../../config/manifests/resources.ts';
import { builtInKind, groupOf, metadataOfKind } from '../../kube/watched-kind.ts';
import type { WatchedKind } from '../../kube/watched-kind.ts';

const security = 'security.istio.io/v1';
const networking = 'networking.istio.io/v1';
const gateways = 'gateway.networking.k8s.io/v1';
/** Of what came to v1 late: older releases of the Gateway API serve nothing else. */
const young = ['gateway.networking.k8s.io/v1alpha3', 'gateway.networking.k8s.io/v1alpha2'];

/** What the mesh is made of. The rules of the control plane's ClusterRole follow from this table. */
export const watchedKinds: readonly WatchedKind[] = [
  metadataOfKind('Namespace', 'v1', 'namespaces'),
  metadataOfKind('Node', 'v1', 'nodes'),
  builtInKind('Pod', 'v1', 'pods'),
  builtInKind('Service', 'v1', 'services'),
  builtInKind('EndpointSlice', 'discovery.k8s.io/v1', 'endpointslices'),
  builtInKind('NetworkPolicy', 'networking.k8s.io/v1', 'networkpolicies'),
  custom('ServiceEntry', networking, 'serviceentries'),
  custom('WorkloadEntry', networking, 'workloadentries'),
  custom('WorkloadGroup', networking, 'workloadgroups'),
  custom('PeerAuthentication', security, 'peerauthentications'),
  custom('AuthorizationPolicy', security, 'authorizationpolicies'),
  custom('RequestAuthentication', security, 'requestauthentications'),
  custom('RateLimitPolicy', 'ambit.dev/v1alpha1', 'ratelimitpolicies'),
  custom('Gateway', gateways, 'gateways'),
  custom('GatewayClass', gateways, 'gatewayclasses'),
  custom('ListenerSet', gateways, 'listenersets'),
  {
    ...custom('ListenerSet', 'gateway.networking.x-k8s.io/v1alpha1', 'xlistenersets'),
    keyPrefix: 'gateway.networking.x-k8s.io/XListenerSet/',
  },
  custom('IstioGateway', networking, 'gateways'),
  builtInKind('Ingress', 'networking.k8s.io/v1', 'ingresses'),
  builtInKind('IngressClass', 'networking.k8s.io/v1', 'ingressclasses'),
  custom('BackendTLSPolicy', gateways, 'backendtlspolicies', ['gateway.networking.k8s.io/v1alpha3']),
  custom('HTTPRoute', gateways, 'httproutes'),
  custom('GRPCRoute', gateways, 'grpcroutes'),
  custom('TLSRoute', gateways, 'tlsroutes', young),
  custom('TCPRoute', gateways, 'tcproutes', young),
  custom('ReferenceGrant', gateways, 'referencegrants', ['gateway.networking.k8s.io/v1beta1']),
  custom('VirtualService', networking, 'virtualservices'),
  custom('DestinationRule', networking, 'destinationrules'),
  custom('MeshSettings', 'ambit.dev/v1alpha1', 'meshsettings'),
  ...foreign('cilium.io/v2', 'CiliumNetworkPolicy', 'CiliumClusterwideNetworkPolicy'),
  ...foreign('crd.projectcalico.org/v1', 'NetworkPolicy', 'GlobalNetworkPolicy'),
  ...foreign('crd.antrea.io/v1beta1', 'NetworkPolicy', 'ClusterNetworkPolicy'),
  ...foreign('policy.networking.k8s.io/v1alpha1', 'AdminNetworkPolicy', 'BaselineAdminNetworkPolicy'),
  ...foreign('policy.networking.k8s.io/v1alpha2', 'ClusterNetworkPolicy'),
];

const knownPolicyGroups = new Set(
  watchedKinds.filter(({ kind }) => kind === 'ForeignNetworkPolicy').map(({ apiVersion }) => groupOf(apiVersion)),
);

/**
 * A kind of policy in a group that the table does not name: only its definition is known.
 *
 * @param name of a CustomResourceDefinition, `PLURAL.GROUP`
 */
export function isUnreadablePolicy(name: string): boolean {
  const dot = name.indexOf('.');
  return name.slice(0, dot).endsWith('networkpolicies') && !knownPolicyGroups.has(name.slice(dot + 1));
}

function custom(
  kind: ResourceKind,
  apiVersion: string,
  plural: string,
  otherVersions: readonly string[] = [],
): WatchedKind {
  return { ...builtInKind(kind, apiVersion, plural), otherVersions, mayBeAbsent: true };
}

function foreign(apiVersion: string, ...kinds: readonly string[]): readonly WatchedKind[] {
  return kinds.map((kind) => ({
    ...custom('ForeignNetworkPolicy', apiVersion, `${kind.toLowerCase().slice(0, -1)}ies`),
    metadataOnly: true,
    keyPrefix: `${groupOf(apiVersion)}/${kind}/`,
  }));
}
