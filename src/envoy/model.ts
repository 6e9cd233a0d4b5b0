import type { AppProtocol, Locality } from '../model/workload.ts';
import type { HttpRule } from './http-rules.ts';
import type { Security } from './security/model.ts';

/** All that one waypoint's Envoy is told. Pure data: who derives it knows manifests, who builds from it knows Envoy. */
export interface WaypointInput {
  /** Services whose connections come through this waypoint. */
  readonly services: readonly BoundService[];
  /** Pods that are reached by their own address through it. */
  readonly workloads: readonly BoundWorkload[];
  /** Everything that rules may send to, the services above included. */
  readonly destinations: readonly Destination[];
  /** Where this waypoint runs, by which near endpoints are told from far ones. */
  readonly locality: Locality;
  /** Addresses that no endpoint may have besides loopback and link-local ones: those of nodes. */
  readonly forbiddenAddresses: ReadonlySet<string>;
  readonly http: HttpSettings;
}

/** What clusters and their endpoints are made from: of a waypoint, or of a gateway. */
export type DestinationsInput = Pick<WaypointInput, 'destinations' | 'locality' | 'forbiddenAddresses'>;

/** What holds for all traffic of a waypoint or a gateway. */
export interface HttpSettings {
  /** As Istio's `pathNormalization`; the wider ones defend policies on paths against applications that read loosely. */
  readonly pathNormalization: 'none' | 'base' | 'merge-slashes' | 'decode-and-merge-slashes';
  /** Proxies in front of the mesh whose `x-forwarded-for` is believed. */
  readonly trustedProxies: number;
  /** Of a request. */
  readonly headers: { readonly kibibytes: number; readonly count: number };
  /** On standard output, of each request and connection; null: none. */
  readonly accessLog: AccessLogSettings | null;
}

export interface AccessLogSettings {
  readonly format: AccessLogFormat;
  /** Per cent of those that ended well. */
  readonly sampling: number;
}

/** null: what is usual. Operators are Envoy's, and `%LABEL(NAME)%` for what metrics say by that name. */
export type AccessLogFormat =
  | { readonly kind: 'text'; readonly line: string | null }
  | { readonly kind: 'json'; readonly fields: Readonly<Record<string, string>> | null };

export const defaultHttpSettings: HttpSettings = {
  pathNormalization: 'merge-slashes',
  trustedProxies: 0,
  headers: { kibibytes: 60, count: 100 },
  accessLog: null,
};

export interface BoundService {
  readonly namespace: string;
  readonly hostname: string;
  /** Canonical text. */
  readonly addresses: readonly string[];
  readonly ports: readonly BoundPort[];
  readonly security: Security;
}

/** A pod is sent to by the address that was asked for, on whatever port. */
export interface BoundWorkload {
  /** Canonical text. */
  readonly addresses: readonly string[];
  /** null: nobody knows; metrics then say `unknown`. */
  readonly labels: WorkloadLabels | null;
  /** What is spoken where, as far as anybody says. */
  readonly protocols: ReadonlyMap<number, AppProtocol>;
  readonly security: Security;
}

export interface BoundPort {
  readonly number: number;
  /** null: nobody says; the first bytes decide, unless rules or policies ask for HTTP. */
  readonly protocol: AppProtocol | null;
  /** In order of precedence, the first that matches counts, none is 404. null: everything goes to the port itself. */
  readonly rules: readonly HttpRule[] | null;
  /** Of connections that are no HTTP; null: all go to the port itself. */
  readonly connections: readonly ConnectionRule[] | null;
}

/** A rule for whole connections. */
export interface ConnectionRule {
  readonly name: string;
  /** `example.com`, `*.example.com` or `*`, of TLS; none: any connection, TLS or not. */
  readonly serverNames: readonly string[];
  /** null: whoever connects. */
  readonly from: ConnectionSource | null;
  readonly targets: readonly ConnectionTarget[];
}

/** Where a connection comes from and was meant to go; all that is said has to be so. */
export interface ConnectionSource {
  /** Of the client; null: any. */
  readonly namespace: string | null;
  /** That the client's pod has. */
  readonly labels: ReadonlyMap<string, string>;
  /** CIDR text; null: any address. */
  readonly block: string | null;
  /** CIDR texts, one of which is enough; none: any address. */
  readonly destinations: readonly string[];
}

export interface ConnectionTarget {
  /** null: what was asked for does not exist; its share of connections is closed. */
  readonly destination: DestinationName | null;
  readonly weight: number;
}

/** Which endpoints: those of a service's port, or of a subset of them. */
export interface DestinationName {
  /** Of the service that is meant, for several may have one hostname; null: the one that the waypoint knows by it. */
  readonly namespace: string | null;
  readonly hostname: string;
  readonly port: number;
  /** null: all. */
  readonly subset: string | null;
}

export interface Destination extends DestinationName {
  readonly namespace: string;
  readonly protocol: AppProtocol | null;
  readonly endpoints: Endpoints;
  readonly policy: TrafficPolicy;
}

export type Endpoints =
  | { readonly kind: 'known'; readonly list: readonly Endpoint[] }
  /** Envoy looks the names up itself. */
  | { readonly kind: 'dns'; readonly list: readonly Endpoint[] }
  /** Likewise one name, of whose addresses a new connection goes to the first. */
  | { readonly kind: 'dns-first'; readonly list: readonly [Endpoint] };

export interface Endpoint {
  /** Canonical address, or a DNS name where the names are looked up. */
  readonly address: string;
  readonly port: number;
  readonly healthy: boolean;
  /** Relative weight, at least 1. */
  readonly weight: number;
  readonly locality: Locality;
  /** Of the workload behind it; null: none of the mesh. */
  readonly labels: WorkloadLabels | null;
}

/** What metrics and logs say of a workload; empty: unknown. Pods of one deployment have the same, so they bound what is counted. */
export interface WorkloadLabels {
  readonly workload: string;
  readonly namespace: string;
  /** SPIFFE ID. */
  readonly principal: string;
  readonly app: string;
  readonly version: string;
  readonly cluster: string;
  readonly canonicalService: string;
  readonly canonicalRevision: string;
}

/** How a destination is used: what a DestinationRule says, and otherwise our defaults. Times in milliseconds. */
export interface TrafficPolicy {
  readonly balancer: Balancer;
  readonly locality: LocalityPolicy;
  readonly connectTimeout: number;
  readonly tcpKeepalive: TcpKeepalive | null;
  readonly limits: ConnectionLimits;
  readonly outliers: OutlierPolicy | null;
  readonly tls: ClientTls | null;
}

export type Balancer =
  | { readonly kind: 'round-robin' | 'least-request'; readonly warmUp: WarmUp | null }
  | { readonly kind: 'random' | 'passthrough' }
  | { readonly kind: 'hash'; readonly key: HashKey; readonly table: HashTable };

export interface WarmUp {
  readonly duration: number;
  /** Per cent of its weight that a new endpoint has at the beginning. */
  readonly minimumPercent: number | null;
  readonly aggression: number | null;
}

export type HashKey =
  | { readonly kind: 'header' | 'query'; readonly name: string }
  | { readonly kind: 'source-address' }
  | { readonly kind: 'cookie'; readonly name: string; readonly path: string; readonly ttl: number | null };

export type HashTable =
  { readonly kind: 'ring'; readonly minimumSize: number } | { readonly kind: 'maglev'; readonly size: number | null };

/** `prefer`: near endpoints first, in the order of the scopes; others only when too few near ones are healthy. */
export type LocalityPolicy =
  | { readonly kind: 'any' }
  | { readonly kind: 'prefer'; readonly scopes: readonly LocalityScope[]; readonly failover: readonly Failover[] }
  | { readonly kind: 'weighted'; readonly distribution: readonly LocalityShare[] };

export type LocalityScope = 'region' | 'zone' | 'subzone';

export interface Failover {
  readonly from: string;
  readonly to: string;
}

/** `region/zone/subzone`, `*` for any of the rest. */
export interface LocalityShare {
  readonly locality: string;
  readonly weight: number;
}

export interface TcpKeepalive {
  readonly probes: number | null;
  readonly time: number | null;
  readonly interval: number | null;
}

/** null: as many as there is memory for, as in Istio. */
export interface ConnectionLimits {
  readonly connections: number | null;
  readonly pendingRequests: number | null;
  readonly requests: number | null;
  readonly retries: number | null;
  readonly requestsPerConnection: number | null;
  readonly concurrentStreams: number | null;
  /** Of connections for requests that nobody uses. */
  readonly idleTimeout: number | null;
  /** Of connections of bytes on which nothing moves; 0: none. */
  readonly tcpIdleTimeout: number | null;
  readonly connectionAge: number | null;
  readonly upgrade: 'default' | 'always' | 'never';
}

export interface OutlierPolicy {
  readonly consecutiveServerErrors: number | null;
  readonly consecutiveGatewayErrors: number | null;
  /** Counts failures to connect on their own where it is set. */
  readonly consecutiveLocalFailures: number | null;
  readonly splitLocalErrors: boolean;
  readonly interval: number;
  readonly baseEjectionTime: number;
  readonly maximumEjectedPercent: number;
  readonly minimumHealthPercent: number;
}

/** TLS towards something outside of the mesh; the files are of Envoy's own container. */
export interface ClientTls {
  readonly serverName: string | null;
  readonly subjectAltNames: readonly string[];
  /** null: those that everybody trusts. */
  readonly roots: string | null;
  /** PEM, in place of a file. */
  readonly rootsPem?: string;
  readonly certificate: { readonly chain: string; readonly key: string } | null;
  readonly insecure: boolean;
}

export const defaultTrafficPolicy: TrafficPolicy = {
  balancer: { kind: 'least-request', warmUp: null },
  locality: { kind: 'any' },
  connectTimeout: 10_000,
  tcpKeepalive: null,
  limits: {
    connections: null,
    pendingRequests: null,
    requests: null,
    retries: null,
    requestsPerConnection: null,
    concurrentStreams: null,
    idleTimeout: null,
    tcpIdleTimeout: null,
    connectionAge: null,
    upgrade: 'default',
  },
  outliers: null,
  tls: null,
};
