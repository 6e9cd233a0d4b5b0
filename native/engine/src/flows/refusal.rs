//! Why flows are not let through: a fixed set of reasons, each with its counter.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::decisions::Refusal;
use crate::hbone::client::TunnelError;
use crate::telemetry::{Counter, FlowEnd, Registry, ResponseFlags};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $label:literal,)*) => {
        /// Label `reason` of `ambit_flows_refused`; never renamed once released.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)*];

            pub const fn label(self) -> &'static str {
                match self { $(Reason::$name => $label,)* }
            }
        }
    };
}

reasons! {
    /// Came to a listener of ours without having been captured.
    DirectConnection = "direct_connection",
    /// Asked for a port of the engine's own.
    SelfCall = "self_call",
    TooManyFlows = "too_many_flows",
    /// Not established yet, and too many like it.
    TooManyUnsettled = "too_many_unsettled",
    TooManyHandshakes = "too_many_handshakes",
    HandshakeTimeout = "handshake_timeout",
    TlsFailed = "tls_failed",
    Http2Failed = "http2_failed",
    /// HTTP/2 of a peer went wrong after its handshake.
    Http2Violation = "http2_violation",
    NoIdentity = "no_identity",
    Decision = "decision",
    Denied = "denied",
    PolicyDenied = "policy_denied",
    EndpointSetUnknown = "endpoint_set_unknown",
    NoEndpoint = "no_endpoint",
    /// An endpoint where the engine itself must not be sent to.
    UnsafeEndpoint = "unsafe_endpoint",
    FamilyMismatch = "family_mismatch",
    ConnectFailed = "connect_failed",
    ConnectTimeout = "connect_timeout",
    TunnelFailed = "tunnel_failed",
    TunnelRefused = "tunnel_refused",
    NotConnect = "not_connect",
    BadAuthority = "bad_authority",
    HostnameAuthority = "hostname_authority",
    ForeignAuthority = "foreign_authority",
    /// Came for an address of the namespace that is not one of the pod's.
    ForeignAddress = "foreign_address",
    /// Asked for the control plane by a socket that a proxy may dial for its clients, too.
    NotTheProxysOwn = "not_the_proxys_own",
    /// To be handed over to a port that the pod's own processes could connect to as well.
    Unguarded = "unguarded",
    PodGone = "pod_gone",
    /// Who asked has broken off before there was an answer.
    ClientGone = "client_gone",
    /// The listener could not accept: out of file descriptors or memory, or destroyed by the pod.
    AcceptFailed = "accept_failed",
    Socket = "socket",
}

/// One counter per reason, bare atomics.
pub struct RefusalCounters {
    counters: Vec<Counter>,
}

impl RefusalCounters {
    pub fn new(registry: &Registry) -> Self {
        let help = "Flows and connections that the engine did not let through.";
        let counter = |reason: &Reason| {
            registry.counter("ambit_flows_refused", help, &[("reason", reason.label())])
        };
        RefusalCounters {
            counters: Reason::ALL.iter().map(counter).collect(),
        }
    }

    pub fn count(&self, reason: Reason) {
        if let Some(counter) = self.counters.get(reason as usize) {
            counter.increment();
        }
    }

    pub fn get(&self, reason: Reason) -> u64 {
        self.counters.get(reason as usize).map_or(0, Counter::get)
    }
}

/// A flow that is not let through: for the counter, the log, and the one who asked.
#[derive(Clone, Debug)]
pub struct Refused {
    pub reason: Reason,
    pub flags: ResponseFlags,
    pub message: String,
    pub policy: Option<Arc<str>>,
}

impl Refused {
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Refused {
            reason,
            flags: flags(reason),
            message: message.into(),
            policy: None,
        }
    }

    pub fn foreign_address(target: SocketAddr) -> Self {
        let message = format!("{} is not an address of this pod", target.ip());
        Refused::new(Reason::ForeignAddress, message)
    }

    pub fn over_capacity() -> Self {
        Refused::new(Reason::TooManyFlows, "too many connections are open")
    }

    pub fn end(&self) -> FlowEnd {
        FlowEnd {
            policy: self.policy.clone(),
            ..FlowEnd::failed(self.flags, self.message.clone())
        }
    }
}

fn flags(reason: Reason) -> ResponseFlags {
    match reason {
        Reason::PolicyDenied | Reason::Denied | Reason::NotTheProxysOwn => ResponseFlags::Deny,
        Reason::ConnectFailed
        | Reason::NoEndpoint
        | Reason::UnsafeEndpoint
        | Reason::TunnelRefused => ResponseFlags::Connect,
        Reason::ConnectTimeout => ResponseFlags::NetworkPolicy,
        Reason::TlsFailed => ResponseFlags::TlsFailure,
        Reason::Http2Failed | Reason::TunnelFailed => ResponseFlags::Http2HandshakeFailure,
        Reason::NoIdentity => ResponseFlags::IdentityError,
        _ => ResponseFlags::None,
    }
}

/// For what is counted and has nobody to be told.
impl From<Refused> for Reason {
    fn from(refused: Refused) -> Self {
        refused.reason
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Refused::new(Reason::Decision, refusal.reason())
    }
}

impl From<TunnelError> for Refused {
    fn from(error: TunnelError) -> Self {
        let reason = match &error {
            TunnelError::Connect(..) => Reason::ConnectFailed,
            TunnelError::ConnectTimeout(_) | TunnelError::AnswerTimeout => Reason::ConnectTimeout,
            TunnelError::Tls(_) => Reason::TlsFailed,
            TunnelError::Http2(_) | TunnelError::EndedEarly => Reason::Http2Failed,
            TunnelError::Stream(_) | TunnelError::Request(_) => Reason::TunnelFailed,
            TunnelError::Status(http::StatusCode::UNAUTHORIZED) => Reason::PolicyDenied,
            TunnelError::Status(_) => Reason::TunnelRefused,
            TunnelError::NoIdentity(_) => Reason::NoIdentity,
        };
        Refused::new(reason, error.to_string())
    }
}
