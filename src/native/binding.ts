/**
 * The boundary to the Rust engine: the only place that declares it, data only.
 *
 * Rules of the boundary: `null` says "absent" and a missing field is a bug, because the two must not look alike across a
 * language boundary; the same word names the same thing in `native/engine/src/api.rs`, in the same order; addresses are
 * canonical text (IPv4-mapped IPv6 is written as IPv4, IPv6 compressed), ports and counts are numbers, times are
 * milliseconds since the epoch.
 */

/** How bytes travel, as the metric `connection_security_policy` and the authorization questions see it. */
export type Transport = 'mutual_tls' | 'node_local' | 'plaintext';

export interface EngineOptions {
  /** Name of the node; part of the pin folder, so that two agents on one machine never meet. */
  readonly node: string;
  /** Mount point of a bpffs that outlives this process. */
  readonly bpffs: string;
  /** Mount point of the cgroup2 tree; capture hooks attach to its root. */
  readonly cgroupRoot: string;
  /** cgroup folder (relative to cgroupRoot) whose processes never count as the node's own probers; null: no such folder. */
  readonly podsCgroup: string | null;
  /** Path of the network namespace that the node's own probers connect from; null: that of this process. */
  readonly nodeNetns: string | null;
  /** Where the processes of the node are seen, `/proc` outside of a container. */
  readonly hostProc: string;
  /** Engine threads, 1 to 4. */
  readonly threads: number;
  /** Trust domains whose client certificates are accepted, the own one first. */
  readonly trustDomains: readonly string[];
  /** A path, `stdout` or `off`. */
  readonly accessLog: string;
  readonly accessLogFormat: 'json' | 'plain';
  /** How long a flow waits for an answer before it is closed. Milliseconds. */
  readonly questionTimeout: number;
  /** How long a handshake or a dial may take. Milliseconds. */
  readonly connectTimeout: number;
  /** Value of `istio_build`'s tag and of the source cluster in baggage. */
  readonly version: string;
  readonly clusterId: string;
}

/** Which lines the access log gets; metrics count everything all the same. */
export interface AccessLogFilter {
  /** How many of 10,000 connections that ended well; the others are always told of. */
  readonly sampling: number;
  /** How a connection must have ended; `denied`: refused or ended by policy. */
  readonly outcome: 'any' | 'errors' | 'denied';
  /** Empty: both. */
  readonly directions: readonly ('inbound' | 'outbound')[];
  /** Of either end; empty: all. */
  readonly namespaces: readonly string[];
}

/** A pod to take in. Its certificate is given apart by `setIdentity`, before or after. */
export interface PodSpec {
  /** The pod's Kubernetes UID; a new UID at an old address is another pod. */
  readonly uid: string;
  /** Path of the pod's network namespace. */
  readonly netns: string;
  /** All of the pod's addresses. */
  readonly addresses: readonly string[];
  /** SPIFFE ID of its service account. */
  readonly identity: string;
  /** Its workload's uid: names the WorkloadDescriptor used in logs and metrics. */
  readonly workload: string;
  /** Ports that the pod's own probes and lifecycle hooks name. */
  readonly probePorts: readonly number[];
  /** A waypoint: it is asked for addresses that are not its own, and its proxy's loopback ports take nobody but the engine. */
  readonly handover: boolean;
  /** Its name queries are answered from the engine's names, or forwarded; else they go to its resolver as without a mesh. */
  readonly dnsCapture: boolean;
  /** Connections from outside find the pod's own sockets, but for tunnels and its proxy's guarded ports: Istio's ingress mode. */
  readonly bypassInbound: boolean;
}

export interface IdentityCertificate {
  readonly spiffeId: string;
  /** Leaf first, then intermediates; PEM. */
  readonly certificateChain: string;
  /** PKCS#8 PEM; stays in memory. */
  readonly privateKey: string;
  /** Root bundle; PEM. */
  readonly roots: string;
}

/** What logs and metrics say about a workload. `unknown` is written where a value is empty. */
export interface WorkloadDescriptor {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly workload: string;
  readonly canonicalService: string;
  readonly canonicalRevision: string;
  readonly principal: string;
  readonly app: string;
  readonly version: string;
  readonly cluster: string;
  readonly region: string;
  readonly zone: string;
  /** `deployment`, `cronjob`, `pod` or `job`; used in `baggage`. */
  readonly workloadType: string;
}

export interface ServiceDescriptor {
  /** `namespace/hostname`. */
  readonly key: string;
  readonly hostname: string;
  readonly name: string;
  readonly namespace: string;
}

/** A name of the mesh and what it stands for. */
export interface NameRecord {
  /** Of several records of one name, `namespace/hostname` tells whose it is. */
  readonly key: string;
  /** Lower case, without a dot at the end; `*.` at the beginning stands for one or more labels. */
  readonly name: string;
  readonly namespace: string;
  /** Pods of other namespaces see it, too. */
  readonly public: boolean;
  /** Of several it counts for pods whose own namespace has none. */
  readonly canonical: boolean;
  readonly addresses: readonly string[];
  /** Seconds. */
  readonly ttl: number;
}

export interface SocketAddress {
  readonly address: string;
  readonly port: number;
}

export interface Endpoint {
  /** uid of the workload; names its descriptor. */
  readonly workload: string;
  /** Pod UID where the endpoint is a pod: tunnels are pooled by it, so that a reused address is another tunnel. */
  readonly podUid: string | null;
  readonly address: string;
  /** 0: the port that the client asked for. */
  readonly port: number;
  /** `hbone`: tunnel to address:15008; `tcp`: plain. */
  readonly protocol: 'hbone' | 'tcp';
  /** SPIFFE IDs of which the server must show one. */
  readonly identities: readonly string[];
  /** Relative capacity, at least 1. */
  readonly weight: number;
  /** The endpoint is a pod of this node that may be joined without a wire. Both ends must allow it. */
  readonly local: boolean;
  /** What a waypoint's pod is asked for; comes before that of the answer. Null: as the answer says. */
  readonly authority: SocketAddress | null;
}

export interface EndpointSet {
  readonly id: string;
  readonly version: number;
  readonly endpoints: readonly Endpoint[];
}

/** Asked once per kind of flow. */
export interface OutboundQuestion {
  readonly kind: 'outbound';
  readonly id: number;
  readonly pod: string;
  readonly destination: string;
  readonly port: number;
}

export interface InboundQuestion {
  readonly kind: 'inbound';
  readonly id: number;
  readonly pod: string;
  /** Verified SPIFFE ID, or null for plaintext. */
  readonly peer: string | null;
  readonly source: string;
  /** The pod's own address that was asked for; with `PodSpec.handover` also one that the pod stands before. */
  readonly destination: string;
  readonly port: number;
  readonly transport: Transport;
}

/**
 * What of the question mattered. An answer is reused for every question that agrees on it: the destination's (outbound)
 * or source's (inbound) first `prefixLength` bits, the port unless `anyPort`. Pod, peer and transport always matter; for
 * inbound, so does the pod's own address unless `anyDestination` (outbound answers say true).
 */
export interface AnswerMask {
  readonly prefixLength: number;
  readonly anyPort: boolean;
  readonly anyDestination: boolean;
}

interface AnswerBase {
  readonly id: number;
  /** The store's generation that the answer was computed at. */
  readonly generation: number;
  /** Every key that was read to find it, also those that were not there. */
  readonly keys: readonly string[];
  readonly mask: AnswerMask;
}

/**
 * A TLS connection that the agent makes in its own network namespace for a pod, with the pod's certificate: bytes go on both
 * ways. The server must show `serverName`; ALPN is h2.
 */
export interface Relay {
  /** An address, or a host name that the agent's machine knows. */
  readonly address: string;
  readonly port: number;
  readonly serverName: string;
}

export interface OutboundAnswer extends AnswerBase {
  readonly kind: 'outbound';
  readonly action: 'passthrough' | 'connect' | 'deny' | 'relay';
  /** For `connect`. */
  readonly endpointSet: { readonly id: string; readonly version: number } | null;
  /** For `connect`: the source may be joined to a local endpoint without a wire. */
  readonly allowLocal: boolean;
  /** For `connect` by a waypoint: what its pods are asked for. Null: the endpoint's own address and port. */
  readonly authority: SocketAddress | null;
  /** For `relay`. */
  readonly relay: Relay | null;
  /** `namespace/hostname`, where a service was asked for. */
  readonly service: string | null;
  /** For `passthrough` to a known workload: its uid. */
  readonly workload: string | null;
  /** For `deny`: a stable code, such as `no_healthy_upstream`. */
  readonly reason: string | null;
}

export interface InboundAnswer extends AnswerBase {
  readonly kind: 'inbound';
  readonly action: 'allow' | 'deny';
  /** For `deny`: the policy's `namespace/name`, where one decided. */
  readonly policy: string | null;
  /** For `deny`: a stable code, such as `policy_denied` or `no_allow_policy_matched`. */
  readonly reason: string | null;
  /** uid of the workload at the source, where it is known and fits the peer's identity. */
  readonly sourceWorkload: string | null;
  /** A service of which the pod is an endpoint at this port: `namespace/hostname`. */
  readonly service: string | null;
  /** For `allow`: the connection goes to the pod's proxy on this loopback port, with PROXY protocol. Null: to what was asked for. */
  readonly handover: { readonly port: number } | null;
}

export type Question = OutboundQuestion | InboundQuestion;
export type Answer = OutboundAnswer | InboundAnswer;

export type EngineEvent =
  | { readonly kind: 'questions'; readonly questions: readonly Question[] }
  /** Somebody changed our rule, route, link or setting in a pod's namespace; `restored` says whether it is mended. */
  | { readonly kind: 'tampering'; readonly pod: string | null; readonly what: string; readonly restored: boolean }
  /** A pod's last flow after `unenrol` has ended and nothing of us is left in its namespace. */
  | { readonly kind: 'released'; readonly pod: string }
  /** For the agent's log. */
  | { readonly kind: 'log'; readonly level: 'error' | 'warn' | 'info' | 'debug'; readonly message: string; readonly fields: string };

export interface FlowInfo {
  readonly id: number;
  readonly pod: string;
  readonly direction: 'inbound' | 'outbound';
  readonly source: string;
  readonly originalDestination: string;
  readonly actualDestination: string;
  readonly transport: Transport;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly openedAt: number;
}

/** Flows of one engine thread into a pod that ask the same: open ones, and those that are still on their way. */
export interface InboundFlows {
  /** For `closeInboundFlows`; not an id of `FlowInfo`. */
  readonly id: number;
  /** Its `id` is 0: it waits for no answer. */
  readonly question: InboundQuestion;
  readonly count: number;
}

export interface InboundFlowPage {
  readonly flows: readonly InboundFlows[];
  /** Where to go on; null after the last. */
  readonly next: number | null;
}

export interface HealthReport {
  /** The kernel says that every program of ours is effective, on every enrolled pod. */
  readonly effective: boolean;
  /** What is missing, in words for an operator. */
  readonly missing: readonly string[];
  readonly pods: number;
}

/** A pod that a former agent of this node left captured. */
export interface AdoptedPod {
  readonly uid: string;
}

/**
 * The engine. Construct it on the main thread only. Methods that touch the kernel return promises and fail with an
 * EngineError; the others return at once. `stop` ends and joins every native thread: afterwards each call is an
 * `ILLEGAL_STATE` error.
 */
export interface NativeEngine {
  /** Opens or adopts the kernel state. Resolves with the pods that a former agent left captured. */
  start(): Promise<readonly AdoptedPod[]>;
  /** Takes a pod in, or adopts what is pinned for it; a second call with the same uid updates it. One that changes identity
   * or workload ends the pod's flows and tunnels, but not its capture. Another network namespace is refused. */
  enrol(pod: PodSpec): Promise<void>;
  /** New connections are no longer captured; open ones stay, and `released` follows. Also for adopted pods. */
  unenrol(uid: string): Promise<void>;
  /** The pod is gone or going: GOAWAY on its tunnels, flows closed, nothing kept. */
  forget(uid: string): Promise<void>;
  setIdentity(certificate: IdentityCertificate): void;
  removeIdentity(spiffeId: string): void;
  setWorkloads(descriptors: readonly WorkloadDescriptor[]): void;
  removeWorkloads(uids: readonly string[]): void;
  setServices(descriptors: readonly ServiceDescriptor[]): void;
  removeServices(keys: readonly string[]): void;
  setEndpointSet(set: EndpointSet): void;
  removeEndpointSet(id: string): void;
  /** Adds names, over those of the same keys. */
  setNames(records: readonly NameRecord[]): void;
  removeNames(keys: readonly string[]): void;
  answer(answers: readonly Answer[]): void;
  /** Drops what is cached or under way and read one of the keys at an older generation. */
  invalidate(generation: number, keys: readonly string[]): void;
  /** At most `limit` open flows of a pod, in order of their ids from the one that follows `after`. */
  flows(pod: string, after: number, limit: number): readonly FlowInfo[];
  /** Flows into a pod, at most `limit` entries, likewise. A flow is listed before it asks whether it may enter: after
   * `invalidate`, each one is listed here or asks anew. */
  inboundFlows(pod: string, after: number, limit: number): InboundFlowPage;
  /**
   * Ends all flows of the entries, also those still on their way, and those that have joined them since they were listed;
   * ids that are not there any more are left out. Returns how many are ended; they are when their threads come to it.
   */
  closeInboundFlows(pod: string, ids: readonly number[], reason: string): number;
  /** Everything, until it is told; may be told before `start`. */
  setAccessLogFilter(filter: AccessLogFilter): void;
  /** Prometheus text of the engine's families. */
  metricsText(): string;
  health(): Promise<HealthReport>;
  /**
   * Connects to a port of an enrolled pod's own loopback, at a waypoint also to those that nobody else may connect to.
   * Resolves with a socket's file descriptor, which is the caller's to close.
   */
  connectToPod(uid: string, port: number): Promise<number>;
  /** No new flows are accepted, GOAWAY on tunnels, waits for open flows at most `deadline` milliseconds, then closes them. */
  drain(deadline: number): Promise<{ readonly closed: number; readonly forced: number }>;
  stop(): Promise<void>;
}

export interface NativeModule {
  readonly Engine: new (options: EngineOptions, onEvent: (event: EngineEvent) => void) => NativeEngine;
  /** Removes everything that an agent of that node left in the kernel; returns what was removed, in words. */
  detach(node: string, bpffs: string, cgroupRoot: string, hostProc: string): readonly string[];
}
