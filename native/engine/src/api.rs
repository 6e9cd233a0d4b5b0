//! The engine's vocabulary: what it is told and what it asks. Knows nothing of Node; `src/native/binding.ts` is its twin, in
//! the same words and order. Public API of the crate; kept free of behaviour.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How bytes travel, as `connection_security_policy` and the authorization questions see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    MutualTls,
    NodeLocal,
    Plaintext,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    Plain,
}

/// How a connection must have ended for its line to be wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WantedOutcome {
    Any,
    Errors,
    /// Refused or ended by policy.
    Denied,
}

/// Which lines the access log gets; metrics count everything all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLogFilter {
    /// How many of 10,000 connections that ended well; the others are always told of.
    pub sampling: u16,
    pub outcome: WantedOutcome,
    /// Empty: both.
    pub directions: Vec<Direction>,
    /// Of either end; empty: all.
    pub namespaces: Vec<Arc<str>>,
}

#[derive(Clone, Debug)]
pub struct EngineOptions {
    pub node: String,
    pub bpffs: PathBuf,
    pub cgroup_root: PathBuf,
    pub pods_cgroup: Option<PathBuf>,
    pub node_netns: Option<PathBuf>,
    pub host_proc: PathBuf,
    pub threads: usize,
    pub trust_domains: Vec<String>,
    /// A path, `stdout` or `off`.
    pub access_log: String,
    pub access_log_format: LogFormat,
    pub question_timeout: Duration,
    pub connect_timeout: Duration,
    pub version: String,
    pub cluster_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSpec {
    pub uid: Arc<str>,
    pub netns: PathBuf,
    pub addresses: Vec<IpAddr>,
    pub identity: Arc<str>,
    pub workload: Arc<str>,
    pub probe_ports: Vec<u16>,
    /// A proxy that takes connections for others: a waypoint or a gateway.
    pub handover: bool,
    /// Its name queries are answered from the names of the mesh, or forwarded.
    pub dns_capture: bool,
    /// Only tunnels are the engine's of what comes from outside.
    pub bypass_inbound: bool,
}

impl PodSpec {
    /// Whether peers may take both for the same pod: what was opened as one may go on as the other.
    pub fn is_same_peer(&self, other: &PodSpec) -> bool {
        self.identity == other.identity && self.workload == other.workload
    }
}

/// Key material; `Debug` is left out on purpose so that it never reaches a log.
pub struct IdentityCertificate {
    pub spiffe_id: Arc<str>,
    pub certificate_chain: String,
    pub private_key: String,
    pub roots: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkloadDescriptor {
    pub uid: Arc<str>,
    pub name: Arc<str>,
    pub namespace: Arc<str>,
    pub workload: Arc<str>,
    pub canonical_service: Arc<str>,
    pub canonical_revision: Arc<str>,
    pub principal: Arc<str>,
    pub app: Arc<str>,
    pub version: Arc<str>,
    pub cluster: Arc<str>,
    pub region: Arc<str>,
    pub zone: Arc<str>,
    pub workload_type: Arc<str>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceDescriptor {
    pub key: Arc<str>,
    pub hostname: Arc<str>,
    pub name: Arc<str>,
    pub namespace: Arc<str>,
}

/// A name of the mesh and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameRecord {
    /// Of several records of one name, `namespace/hostname` tells whose it is.
    pub key: Arc<str>,
    /// Lower case, without a dot at the end; `*.` at the beginning stands for one or more labels.
    pub name: Arc<str>,
    pub namespace: Arc<str>,
    /// Pods of other namespaces see it, too.
    pub public: bool,
    /// Of several it counts for pods whose own namespace has none.
    pub canonical: bool,
    pub addresses: Vec<IpAddr>,
    /// Seconds.
    pub ttl: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    Hbone,
    Tcp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub workload: Arc<str>,
    pub pod_uid: Option<Arc<str>>,
    pub address: IpAddr,
    /// 0: the port that the client asked for.
    pub port: u16,
    pub protocol: Protocol,
    pub identities: Arc<[Arc<str>]>,
    pub weight: u32,
    pub local: bool,
    /// What a waypoint's pod is asked for; comes before that of the answer.
    pub authority: Option<SocketAddr>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSet {
    pub id: Arc<str>,
    pub version: u64,
    pub endpoints: Vec<Endpoint>,
}

/// A version of a set by its name, and the set itself as soon as the engine has taken the answer in: what an answer names may
/// be replaced before the flow that asked runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSetReference {
    pub id: Arc<str>,
    pub version: u64,
    pub held: Option<Arc<EndpointSet>>,
}

pub type QuestionId = u64;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OutboundQuestion {
    pub pod: Arc<str>,
    pub destination: IpAddr,
    pub port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InboundQuestion {
    pub pod: Arc<str>,
    pub peer: Option<Arc<str>>,
    pub source: IpAddr,
    pub destination: IpAddr,
    pub port: u16,
    pub transport: Transport,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    Outbound(OutboundQuestion),
    Inbound(InboundQuestion),
}

/// What of the question mattered; see the twin for the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AnswerMask {
    pub prefix_length: u8,
    pub any_port: bool,
    pub any_destination: bool,
}

/// A TLS server that the agent connects to from its own network namespace, with the pod's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// An address, or a host name that the agent's machine knows.
    pub address: Arc<str>,
    pub port: u16,
    /// The name that its certificate must show.
    pub server_name: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutboundAction {
    Passthrough {
        workload: Option<Arc<str>>,
    },
    Connect {
        endpoint_set: EndpointSetReference,
        allow_local: bool,
        /// What the endpoints, pods of a waypoint, are asked for instead of themselves.
        authority: Option<SocketAddr>,
    },
    Deny {
        reason: Arc<str>,
    },
    Relay(Relay),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundVerdict {
    pub action: OutboundAction,
    pub service: Option<Arc<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboundVerdict {
    pub allow: bool,
    pub policy: Option<Arc<str>>,
    pub reason: Option<Arc<str>>,
    pub source_workload: Option<Arc<str>>,
    pub service: Option<Arc<str>>,
    pub handover: Option<Handover>,
}

/// The pod's proxy takes the connection, on this port of its loopback and told by PROXY protocol whom it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handover {
    pub port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Outbound(OutboundVerdict),
    Inbound(InboundVerdict),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub id: QuestionId,
    pub generation: u64,
    pub keys: Vec<Arc<str>>,
    pub mask: AnswerMask,
    pub verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

#[derive(Clone, Debug)]
pub enum EngineEvent {
    Questions(Vec<(QuestionId, Question)>),
    Tampering {
        pod: Option<Arc<str>>,
        what: String,
        restored: bool,
    },
    Released {
        pod: Arc<str>,
    },
    /// `fields` is a JSON object in text.
    Log {
        level: LogLevel,
        message: String,
        fields: String,
    },
}

/// Where the engine's events go. Called from engine threads; must not block.
pub trait EventSink: Send + Sync + 'static {
    fn emit(&self, event: EngineEvent);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    Inbound,
    Outbound,
}

#[derive(Clone, Debug)]
pub struct FlowInfo {
    pub id: u64,
    pub pod: Arc<str>,
    pub direction: Direction,
    pub source: SocketAddr,
    pub original_destination: SocketAddr,
    pub actual_destination: SocketAddr,
    pub transport: Transport,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    /// Milliseconds since the epoch.
    pub opened_at: u64,
}

/// Flows of one thread into a pod that ask the same: open ones, and those that are still on their way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboundFlows {
    /// For `close_inbound_flows`; not an id of `FlowInfo`.
    pub id: u64,
    pub question: InboundQuestion,
    pub count: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InboundFlowPage {
    pub flows: Vec<InboundFlows>,
    /// Where to go on; `None` after the last.
    pub next: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthReport {
    pub effective: bool,
    pub missing: Vec<String>,
    pub pods: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdoptedPod {
    pub uid: Arc<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainReport {
    pub closed: usize,
    pub forced: usize,
}
