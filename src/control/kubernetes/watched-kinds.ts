import type { ResourceKind } from '../../config/manifests/resources.ts';

/** One kind of the API that documents are made of. */
export interface WatchedKind {
  readonly kind: ResourceKind;
  readonly apiVersion: string;
  readonly plural: string;
  /** A CRD that need not be installed. */
  readonly mayBeAbsent: boolean;
  /** Names and labels are all that is read of it. */
  readonly metadataOnly: boolean;
  /** Before the key, where several kinds of the API are one kind of document. */
  readonly keyPrefix: string;
}

const security = 'security.istio.io/v1';
const networking = 'networking.istio.io/v1';

/** What the mesh is made of. The rules of the control plane's ClusterRole follow from this table. */
export const watchedKinds: readonly WatchedKind[] = [
  metadata('Namespace', 'v1', 'namespaces'),
  metadata('Node', 'v1', 'nodes'),
  builtIn('Pod', 'v1', 'pods'),
  builtIn('Service', 'v1', 'services'),
  builtIn('EndpointSlice', 'discovery.k8s.io/v1', 'endpointslices'),
  builtIn('NetworkPolicy', 'networking.k8s.io/v1', 'networkpolicies'),
  custom('ServiceEntry', networking, 'serviceentries'),
  custom('WorkloadEntry', networking, 'workloadentries'),
  custom('WorkloadGroup', networking, 'workloadgroups'),
  custom('PeerAuthentication', security, 'peerauthentications'),
  custom('AuthorizationPolicy', security, 'authorizationpolicies'),
  custom('MeshSettings', 'ambit.dev/v1alpha1', 'meshsettings'),
  ...foreign('cilium.io/v2', 'CiliumNetworkPolicy', 'CiliumClusterwideNetworkPolicy'),
  ...foreign('crd.projectcalico.org/v1', 'NetworkPolicy', 'GlobalNetworkPolicy'),
  ...foreign('crd.antrea.io/v1beta1', 'NetworkPolicy', 'ClusterNetworkPolicy'),
  ...foreign('policy.networking.k8s.io/v1alpha1', 'AdminNetworkPolicy', 'BaselineAdminNetworkPolicy'),
  ...foreign('policy.networking.k8s.io/v1alpha2', 'ClusterNetworkPolicy'),
];

/** Kinds of policies in groups that the table does not name are known only by their definitions. */
export const definitionsPath = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';

const knownPolicyGroups = new Set(
  watchedKinds.filter(({ kind }) => kind === 'ForeignNetworkPolicy').map(({ apiVersion }) => groupOf(apiVersion)),
);

/** @param name of a CustomResourceDefinition, `PLURAL.GROUP` */
export function isUnreadablePolicy(name: string): boolean {
  const dot = name.indexOf('.');
  return name.slice(0, dot).endsWith('networkpolicies') && !knownPolicyGroups.has(name.slice(dot + 1));
}

export function pathOf({ apiVersion, plural }: Pick<WatchedKind, 'apiVersion' | 'plural'>): string {
  return `${apiVersion.includes('/') ? '/apis' : '/api'}/${apiVersion}/${plural}`;
}

export function groupOf(apiVersion: string): string {
  return apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : '';
}

function builtIn(kind: ResourceKind, apiVersion: string, plural: string): WatchedKind {
  return { kind, apiVersion, plural, mayBeAbsent: false, metadataOnly: false, keyPrefix: '' };
}

function metadata(kind: ResourceKind, apiVersion: string, plural: string): WatchedKind {
  return { ...builtIn(kind, apiVersion, plural), metadataOnly: true };
}

function custom(kind: ResourceKind, apiVersion: string, plural: string): WatchedKind {
  return { ...builtIn(kind, apiVersion, plural), mayBeAbsent: true };
}

function foreign(apiVersion: string, ...kinds: readonly string[]): readonly WatchedKind[] {
  return kinds.map((kind) => ({
    kind: 'ForeignNetworkPolicy',
    apiVersion,
    plural: `${kind.toLowerCase().slice(0, -1)}ies`,
    mayBeAbsent: true,
    metadataOnly: true,
    keyPrefix: `${groupOf(apiVersion)}/${kind}/`,
  }));
}
