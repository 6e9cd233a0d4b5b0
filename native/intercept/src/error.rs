//! Why interception cannot start or a pod cannot be enrolled.

use std::io;
use std::path::PathBuf;

/// Every variant has a stable [`code`](InterceptError::code) and a text that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum InterceptError {
    #[error(
        "{path} is not on a bpffs: mount one (mount -t bpf bpf {path}) in the mount namespace of the node's first process"
    )]
    NotBpffs { path: PathBuf },
    #[error(
        "{path} is not the root of the node's cgroup2 tree: name the one that the node's first process has mounted, not that of a cgroup namespace of the agent's own"
    )]
    NotCgroupRoot { path: PathBuf },
    #[error("the kernel lacks {feature}: {hint}")]
    KernelFeature {
        feature: &'static str,
        hint: &'static str,
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    #[error("{what} needs CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN in the initial user namespace")]
    Permission {
        what: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("the agent of node {node} still runs as process {pid}: stop it first")]
    AgentRuns { node: String, pid: u32 },
    #[error("option {name} is invalid: {reason}")]
    InvalidOption { name: &'static str, reason: String },
    #[error("pod {uid} is invalid: {reason}")]
    InvalidPod { uid: String, reason: String },
    #[error("pod {uid} is not enrolled: enrol it first")]
    UnknownPod { uid: String },
    #[error("{path} does not open as a network namespace: has the pod gone?")]
    Netns {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("map {map} is full: this node has more pods or probe ports than it was built for")]
    MapFull { map: &'static str },
    #[error("loading the program {program} failed")]
    Load {
        program: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{what} failed")]
    System {
        what: String,
        #[source]
        source: io::Error,
    },
}

impl InterceptError {
    /// Stable across releases; for logs, status conditions and tests.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotBpffs { .. } => "intercept.not_bpffs",
            Self::NotCgroupRoot { .. } => "intercept.not_cgroup_root",
            Self::KernelFeature { .. } => "intercept.kernel_feature",
            Self::Permission { .. } => "intercept.permission",
            Self::AgentRuns { .. } => "intercept.agent_runs",
            Self::InvalidOption { .. } => "intercept.invalid_option",
            Self::InvalidPod { .. } => "intercept.invalid_pod",
            Self::UnknownPod { .. } => "intercept.unknown_pod",
            Self::Netns { .. } => "intercept.netns",
            Self::MapFull { .. } => "intercept.map_full",
            Self::Load { .. } => "intercept.load",
            Self::System { .. } => "intercept.system",
        }
    }
}

/// Names what was being done, for `map_err`.
pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> InterceptError {
    let what = what.into();
    move |source| InterceptError::System { what, source }
}
