use std::net::SocketAddr;
use std::sync::Arc;

use super::CancelHandle;
use crate::api::{InboundQuestion, ServiceDescriptor, Transport, WorkloadDescriptor};

/// Which sides of a flow this engine reports. A node-local join is one relay and two reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reporters {
    Source,
    Destination,
    Both,
}

/// `response_flags` of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResponseFlags {
    None,
    Deny,
    Connect,
    TlsFailure,
    Http2HandshakeFailure,
    NetworkPolicy,
    IdentityError,
    CertificateRevoked,
}

/// What logs and metrics say about a flow; cheap to clone.
#[derive(Clone, Debug)]
pub struct FlowDescription {
    pub reporters: Reporters,
    /// The enrolled pod at the source; absent where the source is not ours.
    pub source_pod: Option<Arc<str>>,
    /// The enrolled pod at the destination; absent where the destination is not ours.
    pub destination_pod: Option<Arc<str>>,
    /// The client's address.
    pub source: SocketAddr,
    /// What the client asked for.
    pub original_destination: SocketAddr,
    /// Where the bytes go: for HBONE the tunnel's own address (`:15008`).
    pub destination: SocketAddr,
    /// The CONNECT's target, for HBONE.
    pub hbone_address: Option<SocketAddr>,
    pub source_workload: Option<Arc<WorkloadDescriptor>>,
    pub destination_workload: Option<Arc<WorkloadDescriptor>>,
    pub service: Option<Arc<ServiceDescriptor>>,
    pub transport: Transport,
    pub source_identity: Option<Arc<str>>,
    pub destination_identity: Option<Arc<str>>,
}

pub struct FlowStart {
    pub description: FlowDescription,
    /// The inbound question that let the flow in.
    pub question: Option<InboundQuestion>,
    pub cancel: CancelHandle,
}

#[derive(Clone, Debug)]
pub struct FlowEnd {
    pub response_flags: ResponseFlags,
    /// What went wrong, for an operator; absent means a good end.
    pub error: Option<String>,
    /// `namespace/name` of the policy that decided, where one did.
    pub policy: Option<Arc<str>>,
}

impl FlowEnd {
    /// A clean end.
    #[must_use]
    pub const fn complete() -> Self {
        Self {
            response_flags: ResponseFlags::None,
            error: None,
            policy: None,
        }
    }

    #[must_use]
    pub fn failed(response_flags: ResponseFlags, error: impl Into<String>) -> Self {
        Self {
            response_flags,
            error: Some(error.into()),
            policy: None,
        }
    }
}

/// An open flow's counters. Dropped without `finish` it counts as aborted.
pub struct FlowTelemetry {}

impl FlowTelemetry {
    /// Request bytes, from the client to the server.
    pub fn received(&self, _bytes: u64) {
        unimplemented!()
    }

    /// Response bytes, from the server to the client.
    pub fn sent(&self, _bytes: u64) {
        unimplemented!()
    }

    pub fn finish(self, _end: FlowEnd) {
        unimplemented!()
    }
}
