import type { SpiffeId } from './identity.ts';
import type { Policy } from './policy.ts';

/** A place of traffic: a pod, a WorkloadEntry, an inline endpoint. The shape is that of Istio's WDS `Workload`. */
export interface Workload {
  /** `<cluster>//Pod/<namespace>/<name>` and the other forms of WDS. */
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  /** Canonical text (see address.ts). */
  readonly addresses: readonly string[];
  /** A DNS name, in lower case, that leads to its addresses where it has none of its own; empty: no name does. */
  readonly hostname: string;
  /** A host-network workload shares its address with its node and is never found by it. */
  readonly hostNetwork: boolean;
  readonly protocol: 'hbone' | 'tcp';
  /** It speaks HBONE itself, with no node proxy in front of it. */
  readonly nativeTunnel: boolean;
  readonly trustDomain: string;
  readonly serviceAccount: string;
  readonly node: string;
  readonly workloadName: string;
  readonly workloadType: 'deployment' | 'cronjob' | 'pod' | 'job';
  readonly canonicalName: string;
  readonly canonicalRevision: string;
  /** Labels `app` and `version`, where they are set. */
  readonly app: string;
  readonly version: string;
  readonly clusterId: string;
  readonly locality: Locality;
  /** `namespace/hostname` → service port → target port. */
  readonly services: ReadonlyMap<string, ReadonlyMap<number, number>>;
  /** `namespace/name` of the selector policies that apply; namespace-wide and global ones apply by their scope. */
  readonly authorizationPolicies: readonly string[];
  readonly status: 'healthy' | 'unhealthy';
  /** Relative weight, at least 1. */
  readonly capacity: number;
  /** Kubernetes UID where the workload is a pod: an address that is reused by another pod is another destination. */
  readonly podUid: string | null;
  /** What traffic to the workload's own addresses goes through; null: nothing, or not such traffic. */
  readonly waypoint: WaypointReference | null;
  /** Connections that come for others go to a proxy of the pod on this loopback port: the pod is a waypoint, or a gateway. */
  readonly applicationTunnel: ApplicationTunnel | null;
  /** A pod that takes what comes for one of its services only through that service's waypoint. */
  readonly guardedByService: boolean;
  /** A NetworkPolicy selects it, so its traffic must cross the veth, where the CNI sees it (design: `sameNode: auto`). */
  readonly selectedByNetworkPolicy: boolean;
}

/** A waypoint and how traffic is led through it. */
export type WaypointReference = WaypointPlace & WaypointTerms;

export type WaypointPlace =
  | { readonly kind: 'hostname'; readonly namespace: string; readonly hostname: string; readonly port: number }
  | { readonly kind: 'address'; readonly network: string; readonly address: string; readonly port: number };

export interface WaypointTerms {
  /** The destination takes nothing that has not come through it; else whoever goes direct is let in, as in Istio. */
  readonly required: boolean;
  /** What becomes of a connection while no pod of the waypoint is ready. */
  readonly whenUnready: 'refuse' | 'direct';
}

export interface ApplicationTunnel {
  readonly protocol: 'proxy';
  readonly port: number;
  /** The proxy is that of a gateway: nothing stands behind it as behind a waypoint, and it takes connections from outside itself. */
  readonly gateway?: true;
}

export interface Locality {
  readonly region: string;
  readonly zone: string;
  readonly subzone: string;
}

export type RoutingScope = 'region' | 'zone' | 'subzone' | 'node' | 'cluster' | 'network';

export interface LoadBalancing {
  readonly mode: 'standard' | 'strict' | 'failover' | 'passthrough';
  readonly scopes: readonly RoutingScope[];
  readonly healthPolicy: 'only-healthy' | 'allow-all';
}

/** The shape of Istio's WDS `Service`. */
export interface Service {
  readonly name: string;
  readonly namespace: string;
  readonly hostname: string;
  /** Canonical text; none for a headless service. */
  readonly vips: readonly string[];
  /** Service port → target port; 0 where the target is named and differs from pod to pod. */
  readonly ports: ReadonlyMap<number, number>;
  /** What clients of each service port speak, where that is said. */
  readonly appProtocols: ReadonlyMap<number, AppProtocol>;
  readonly subjectAltNames: readonly string[];
  readonly loadBalancing: LoadBalancing;
  readonly ipFamilies: IpFamilies;
  /** `namespace`: only pods of the service's own namespace see it. */
  readonly visibility: 'public' | 'namespace';
  /** Of several services with one hostname the one that counts for clients whose own namespace has none. */
  readonly canonical: boolean;
  /** What traffic to the service goes through; null: nothing, or not such traffic. */
  readonly waypoint: WaypointReference | null;
}

export type AppProtocol = 'http1' | 'http2' | 'grpc' | 'tcp' | 'tls';

export type IpFamilies = 'automatic' | 'ipv4' | 'ipv6' | 'dual';

/** A pod of this node, as its agent needs it. */
export interface LocalPod {
  readonly uid: string;
  readonly workload: string;
  readonly namespace: string;
  readonly name: string;
  /** Where the network namespace is; null where nothing names it. */
  readonly netns: string | null;
  readonly addresses: readonly string[];
  readonly identity: string;
  readonly probePorts: readonly number[];
  /** It is a waypoint or a gateway: the engine guards its proxy, and hands it connections that are meant for others. */
  readonly handover: boolean;
  /** Plain connections reach its own sockets as without a mesh: it is a gateway, or asks for it. Tunnels are taken as ever. */
  readonly bypassInbound: boolean;
  /** Whether the mesh answers its name queries; null: as the agent's setting says. */
  readonly dnsCapture: boolean | null;
  /** Its deletion has been asked for: it serves on for as long as it is given. */
  readonly ending: boolean;
  /** The labels say that the pod belongs to the mesh. */
  readonly wanted: boolean;
}

/** A pod as the CA needs it: it counts before it has an address, for its certificate must be there when it gets one. */
export interface NodePod {
  readonly uid: string;
  readonly node: string;
  readonly namespace: string;
  readonly name: string;
  readonly identity: SpiffeId;
  /** The labels say that the pod belongs to the mesh. */
  readonly wanted: boolean;
  /** It is a waypoint or a gateway, which never asks for a certificate itself. */
  readonly handover: boolean;
}

/** Mesh-wide settings: the document `kind: MeshSettings` of `ambit.dev/v1alpha1`. */
export interface MeshSettings {
  readonly trustDomain: string;
  readonly trustDomainAliases: readonly string[];
  readonly rootNamespace: string;
  readonly clusterDomain: string;
  readonly clusterId: string;
  readonly network: string;
  /** `auto`: joined without a wire unless a NetworkPolicy selects either pod; the others force one way. */
  readonly sameNode: 'auto' | 'local' | 'tls';
  /** What to do with the parts of a policy that L4 cannot honour: fail closed, or as Istio does. */
  readonly unenforceable: 'deny' | 'ignore';
  /** The widest that a ServiceEntry may be seen: by all namespaces, by its own, or by nobody. */
  readonly serviceEntryVisibility: 'public' | 'namespace' | 'none';
  /** Whose pods never join. */
  readonly excludedNamespaces: readonly string[];
  /** Whether `istio-injection: enabled` on a namespace asks for the mesh, as in the days of sidecars. */
  readonly injectionLabel: 'ignore' | 'join';
  readonly outboundTrafficPolicy: OutboundTrafficPolicy;
}

/** What becomes of a connection to an address that nobody in the mesh has. */
export type OutboundTrafficMode = 'ALLOW_ANY' | 'REGISTRY_ONLY';

/** Addresses are canonical texts of blocks. */
export interface OutboundTrafficPolicy {
  readonly mode: OutboundTrafficMode;
  /** By name, of namespaces whose pods have another one. */
  readonly namespaces: Readonly<Record<string, OutboundTrafficMode>>;
  /** Passed on whatever the mode; also names may resolve to them, where they are special otherwise. */
  readonly allow: readonly string[];
  /** Refused whatever the mode, and whoever says to have them; stands above `allow`. */
  readonly refuse: readonly string[];
}

/** Everything that a node's decisions stand on. */
export interface MeshState {
  readonly settings: MeshSettings;
  /** By uid. */
  readonly workloads: ReadonlyMap<string, Workload>;
  /** By `namespace/hostname`. */
  readonly services: ReadonlyMap<string, Service>;
  /** By `namespace/name`. */
  readonly policies: ReadonlyMap<string, Policy>;
  /** By pod UID; only pods of the node asked for. */
  readonly localPods: ReadonlyMap<string, LocalPod>;
  /** Parts of the manifests that are not honoured, each with what that means. */
  readonly conditions: readonly Condition[];
}

export interface Condition {
  /** `AuthorizationPolicy default/name`. */
  readonly resource: string;
  readonly type: string;
  readonly reason: string;
  readonly message: string;
  /** Of a route's parents the one of which alone it is so: `Gateway default/web`, with the listener and the port that it names. */
  readonly parent?: string;
}
