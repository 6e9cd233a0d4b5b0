import type { z } from 'zod';
import type { DocumentTypes, Resource, ResourceKind } from './resources.ts';
import { authorizationPolicySchema } from './schemas/authorization-policy.ts';
import { backendTlsPolicySchema } from './schemas/backend-tls-policy.ts';
import { tcpRouteSchema, tlsRouteSchema } from './schemas/connection-routes.ts';
import { foreignPolicySchema, namespaceSchema, nodeSchema, unsupportedSchema } from './schemas/core.ts';
import { destinationRuleSchema } from './schemas/destination-rule.ts';
import { endpointSliceSchema } from './schemas/endpoint-slice.ts';
import { gatewayClassSchema, gatewaySchema } from './schemas/gateway.ts';
import { grpcRouteSchema } from './schemas/grpc-route.ts';
import { httpRouteSchema } from './schemas/http-route.ts';
import { ingressClassSchema, ingressSchema } from './schemas/ingress.ts';
import { istioGatewaySchema } from './schemas/istio-gateway.ts';
import { listenerSetSchema } from './schemas/listener-set.ts';
import { meshSettingsSchema } from './schemas/mesh-settings.ts';
import { networkPolicySchema } from './schemas/network-policy.ts';
import { peerAuthenticationSchema } from './schemas/peer-authentication.ts';
import { podSchema } from './schemas/pod.ts';
import { rateLimitPolicySchema } from './schemas/rate-limit-policy.ts';
import { referenceGrantSchema } from './schemas/reference-grant.ts';
import { requestAuthenticationSchema } from './schemas/request-authentication.ts';
import { concealedSecret, configMapSchema, prunedConfigMap, secretSchema } from './schemas/secret.ts';
import { serviceEntrySchema } from './schemas/service-entry.ts';
import { serviceSchema } from './schemas/service.ts';
import { virtualServiceSchema } from './schemas/virtual-service.ts';
import { workloadEntrySchema, workloadGroupSchema } from './schemas/workload-entry.ts';

/** How a kind is read. */
export interface KindDefinition extends KindOptions {
  readonly kind: ResourceKind;
  readonly apiVersions: readonly string[];
  readonly scope: 'cluster' | 'namespace' | 'singleton';
  /** A name like this in a group or version that we do not know is a mistake, never somebody else's kind. */
  readonly guarded: boolean;
  readonly schema: z.ZodType;
  readonly read: (raw: unknown) => Reading;
}

interface KindOptions {
  /** How its documents call it. */
  readonly written: string;
  /** One of several kinds of the API that are one kind here: keys of its documents begin with its group and name. */
  readonly collective: boolean;
  /** What is remembered of how a document was written, to see whether it has changed, and as the last good version of it. */
  readonly retain: (raw: unknown) => unknown;
}

export type Reading =
  | { readonly ok: true; readonly resource: Resource }
  | { readonly ok: false; readonly issues: readonly z.core.$ZodIssue[] };

export type Classification =
  | { readonly type: 'known'; readonly definition: KindDefinition }
  | { readonly type: 'wrong-version'; readonly allowed: readonly string[] }
  | { readonly type: 'unused' };

const networkingVersions = ['v1', 'v1beta1', 'v1alpha3'].map((version) => `networking.istio.io/${version}`);
const securityVersions = ['security.istio.io/v1', 'security.istio.io/v1beta1'];

const gatewayVersions = ['gateway.networking.k8s.io/v1', 'gateway.networking.k8s.io/v1beta1'];
/** Those of whole connections came to v1 late: clusters have them in the versions of experiments. */
const youngGatewayVersions = ['v1', 'v1alpha3', 'v1alpha2'].map((version) => `gateway.networking.k8s.io/${version}`);
const backendTlsVersions = ['gateway.networking.k8s.io/v1', 'gateway.networking.k8s.io/v1alpha3'];

/** Every kind that is read. */
export const kindDefinitions: readonly KindDefinition[] = [
  define('Namespace', ['v1'], 'cluster', false, namespaceSchema),
  define('Node', ['v1'], 'cluster', false, nodeSchema),
  define('Pod', ['v1'], 'namespace', false, podSchema),
  define('Service', ['v1'], 'namespace', false, serviceSchema),
  define('EndpointSlice', ['discovery.k8s.io/v1'], 'namespace', false, endpointSliceSchema),
  define('ServiceEntry', networkingVersions, 'namespace', true, serviceEntrySchema),
  define('WorkloadEntry', networkingVersions, 'namespace', true, workloadEntrySchema),
  define('WorkloadGroup', networkingVersions, 'namespace', true, workloadGroupSchema),
  define('PeerAuthentication', securityVersions, 'namespace', true, peerAuthenticationSchema),
  define('AuthorizationPolicy', securityVersions, 'namespace', true, authorizationPolicySchema),
  define('RequestAuthentication', securityVersions, 'namespace', true, requestAuthenticationSchema),
  define('RateLimitPolicy', ['ambit.dev/v1alpha1'], 'namespace', true, rateLimitPolicySchema),
  // Two groups have a kind of this name, so one in another group is no mistake.
  define('Gateway', gatewayVersions, 'namespace', false, gatewaySchema),
  define('IstioGateway', networkingVersions, 'namespace', false, istioGatewaySchema, { written: 'Gateway' }),
  define('ListenerSet', ['gateway.networking.k8s.io/v1'], 'namespace', true, listenerSetSchema),
  define('ListenerSet', ['gateway.networking.x-k8s.io/v1alpha1'], 'namespace', true, listenerSetSchema, {
    written: 'XListenerSet',
    collective: true,
  }),
  define('BackendTLSPolicy', backendTlsVersions, 'namespace', true, backendTlsPolicySchema),
  define('Ingress', ['networking.k8s.io/v1'], 'namespace', false, ingressSchema),
  define('IngressClass', ['networking.k8s.io/v1'], 'cluster', false, ingressClassSchema),
  define('Secret', ['v1'], 'namespace', false, secretSchema, { retain: concealedSecret }),
  define('ConfigMap', ['v1'], 'namespace', false, configMapSchema, { retain: prunedConfigMap }),
  define('GatewayClass', gatewayVersions, 'cluster', false, gatewayClassSchema),
  define('HTTPRoute', gatewayVersions, 'namespace', true, httpRouteSchema),
  define('GRPCRoute', [...gatewayVersions, 'gateway.networking.k8s.io/v1alpha2'], 'namespace', true, grpcRouteSchema),
  define('TCPRoute', youngGatewayVersions, 'namespace', true, tcpRouteSchema),
  define('TLSRoute', youngGatewayVersions, 'namespace', true, tlsRouteSchema),
  define('ReferenceGrant', gatewayVersions, 'namespace', true, referenceGrantSchema),
  define('VirtualService', networkingVersions, 'namespace', true, virtualServiceSchema),
  define('DestinationRule', networkingVersions, 'namespace', true, destinationRuleSchema),
  define('NetworkPolicy', ['networking.k8s.io/v1'], 'namespace', false, networkPolicySchema),
  define('MeshSettings', ['ambit.dev/v1alpha1'], 'singleton', true, meshSettingsSchema),
];

/**
 * Calico, Cilium, Antrea and the network policy group of Kubernetes all end their kinds so: CiliumClusterwideNetworkPolicy,
 * GlobalNetworkPolicy, AdminNetworkPolicy, ClusterNetworkPolicy … A kind that is not one costs only the local shortcut.
 */
const foreignPolicyKind = /NetworkPolicy$/;
const foreignPolicy = define('ForeignNetworkPolicy', [], 'namespace', false, foreignPolicySchema, {
  collective: true,
});

/** Groups of the mesh's API: what is written there is meant for a mesh, so that it has no effect must be told. */
const meshGroup = /(^|\.)istio\.io$|^gateway\.networking\.(x-)?k8s\.io$|^multicluster\.x-k8s\.io$/;
const unsupported = define('UnsupportedKind', [], 'namespace', false, unsupportedSchema, { collective: true });

export function classify(apiVersion: string, kind: string): Classification {
  const named = kindDefinitions.filter(({ written }) => written === kind);
  const definition = named.find(({ apiVersions }) => apiVersions.includes(apiVersion));
  if (definition !== undefined) return { type: 'known', definition };
  const guarded = named.find((known) => known.guarded);
  if (guarded !== undefined) return { type: 'wrong-version', allowed: guarded.apiVersions };
  if (foreignPolicyKind.test(kind)) return { type: 'known', definition: foreignPolicy };
  return meshGroup.test(groupOf(apiVersion)) ? { type: 'known', definition: unsupported } : { type: 'unused' };
}

/** How objects of a version of the API are read that are one kind of document here; null: there is no such kind. */
export function definitionOf(kind: ResourceKind, apiVersion: string): KindDefinition | null {
  if (kind === foreignPolicy.kind) return foreignPolicy;
  return kindDefinitions.find((known) => known.kind === kind && known.apiVersions.includes(apiVersion)) ?? null;
}

function groupOf(apiVersion: string): string {
  return apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : '';
}

function define<Kind extends ResourceKind>(
  kind: Kind,
  apiVersions: readonly string[],
  scope: KindDefinition['scope'],
  guarded: boolean,
  schema: z.ZodType<DocumentTypes[Kind]>,
  { written = kind, collective = false, retain = (raw) => raw }: Partial<KindOptions> = {},
): KindDefinition {
  const read = (raw: unknown): Reading => {
    const result = schema.safeParse(raw);
    if (!result.success) return { ok: false, issues: result.error.issues };
    // Kind and document belong together by the parameter's type, which TypeScript cannot follow through a union.
    return { ok: true, resource: { kind, document: result.data } as Resource };
  };
  return { kind, apiVersions, scope, guarded, schema, read, written, collective, retain };
}
