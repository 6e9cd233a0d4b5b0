import type { AuthorizationPolicyDocument } from './schemas/authorization-policy.ts';
import type { BackendTlsPolicyDocument } from './schemas/backend-tls-policy.ts';
import type { TcpRouteDocument, TlsRouteDocument } from './schemas/connection-routes.ts';
import type { ForeignPolicyDocument, NamespaceDocument, NodeDocument, UnsupportedDocument } from './schemas/core.ts';
import type { DestinationRuleDocument } from './schemas/destination-rule.ts';
import type { EndpointSliceDocument } from './schemas/endpoint-slice.ts';
import type { GatewayClassDocument, GatewayDocument } from './schemas/gateway.ts';
import type { GrpcRouteDocument } from './schemas/grpc-route.ts';
import type { HttpRouteDocument } from './schemas/http-route.ts';
import type { IngressClassDocument, IngressDocument } from './schemas/ingress.ts';
import type { IstioGatewayDocument } from './schemas/istio-gateway.ts';
import type { ListenerSetDocument } from './schemas/listener-set.ts';
import type { MeshSettingsDocument } from './schemas/mesh-settings.ts';
import type { NetworkPolicyDocument } from './schemas/network-policy.ts';
import type { PeerAuthenticationDocument } from './schemas/peer-authentication.ts';
import type { PodDocument } from './schemas/pod.ts';
import type { RateLimitPolicyDocument } from './schemas/rate-limit-policy.ts';
import type { ReferenceGrantDocument } from './schemas/reference-grant.ts';
import type { RequestAuthenticationDocument } from './schemas/request-authentication.ts';
import type { ConfigMapDocument, SecretDocument } from './schemas/secret.ts';
import type { ServiceEntryDocument } from './schemas/service-entry.ts';
import type { ServiceDocument } from './schemas/service.ts';
import type { VirtualServiceDocument } from './schemas/virtual-service.ts';
import type { WorkloadEntryDocument, WorkloadGroupDocument } from './schemas/workload-entry.ts';

/** Where a document stands, for messages. Lines count from 1. */
export interface Place {
  readonly file: string;
  readonly line: number;
}

/** Something about a manifest that an operator should know. */
export interface ManifestProblem extends Place {
  readonly severity: 'error' | 'warning';
  /** `AuthorizationPolicy default/name`, or null where the document cannot be identified. */
  readonly resource: string | null;
  /** `spec.rules[0].from`, empty where the whole document is meant. */
  readonly field: string;
  /** What is wrong and what is allowed, to be read after place, resource and field. */
  readonly message: string;
}

/** A JSON Web Key Set as text, or why none is fetched. */
export type FetchedKeys = { readonly keys: string } | { readonly refused: string };

/** Why an object that others name cannot be had. */
export interface UnreadableObject {
  readonly reason: 'NotFound' | 'Forbidden' | 'Invalid' | 'TooMany';
  /** With what would help. */
  readonly message: string;
}

/** What a document of each kind is once validated. */
export interface DocumentTypes {
  readonly Namespace: NamespaceDocument;
  readonly Node: NodeDocument;
  readonly Pod: PodDocument;
  readonly Service: ServiceDocument;
  readonly EndpointSlice: EndpointSliceDocument;
  readonly ServiceEntry: ServiceEntryDocument;
  readonly WorkloadEntry: WorkloadEntryDocument;
  readonly WorkloadGroup: WorkloadGroupDocument;
  readonly PeerAuthentication: PeerAuthenticationDocument;
  readonly AuthorizationPolicy: AuthorizationPolicyDocument;
  readonly RequestAuthentication: RequestAuthenticationDocument;
  readonly RateLimitPolicy: RateLimitPolicyDocument;
  readonly NetworkPolicy: NetworkPolicyDocument;
  readonly Gateway: GatewayDocument;
  readonly GatewayClass: GatewayClassDocument;
  readonly ListenerSet: ListenerSetDocument;
  /** `Gateway` of networking.istio.io. */
  readonly IstioGateway: IstioGatewayDocument;
  readonly Ingress: IngressDocument;
  readonly IngressClass: IngressClassDocument;
  readonly Secret: SecretDocument;
  readonly ConfigMap: ConfigMapDocument;
  readonly BackendTLSPolicy: BackendTlsPolicyDocument;
  readonly HTTPRoute: HttpRouteDocument;
  readonly GRPCRoute: GrpcRouteDocument;
  readonly TCPRoute: TcpRouteDocument;
  readonly TLSRoute: TlsRouteDocument;
  readonly ReferenceGrant: ReferenceGrantDocument;
  readonly VirtualService: VirtualServiceDocument;
  readonly DestinationRule: DestinationRuleDocument;
  readonly MeshSettings: MeshSettingsDocument;
  readonly ForeignNetworkPolicy: ForeignPolicyDocument;
  /** No document of anybody's: keys of tokens that were fetched, by `keySourceText`. */
  readonly FetchedKeys: FetchedKeys;
  /** Of objects that are followed by their names, by `Secret shop/certificate`; neither this nor the object: nobody has answered yet. */
  readonly UnreadableObject: UnreadableObject;
  readonly UnsupportedKind: UnsupportedDocument;
}

export type ResourceKind = keyof DocumentTypes;

export interface ResourceOf<Kind extends ResourceKind> {
  readonly kind: Kind;
  readonly document: DocumentTypes[Kind];
}

/** A validated document. */
export type Resource = { [Kind in ResourceKind]: ResourceOf<Kind> }[ResourceKind];

/** One line for a log: `pods.yaml:12: AuthorizationPolicy default/a: spec.action: must be …`. */
export function formatProblem(problem: ManifestProblem): string {
  const parts = [`${problem.file}:${problem.line}`, problem.resource, problem.field, problem.message];
  return parts.filter((part) => part !== null && part !== '').join(': ');
}
