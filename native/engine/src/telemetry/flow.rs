use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use super::traffic::Series;
use super::{CancelHandle, Telemetry};
use crate::api::{Direction, ServiceDescriptor, Transport, WorkloadDescriptor};

/// Which sides of a flow this engine reports. A node-local join is one relay and two reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reporters {
    Source,
    Destination,
    Both,
}

impl Reporters {
    pub(super) fn each(self) -> &'static [Reporter] {
        match self {
            Self::Source => &[Reporter::Source],
            Self::Destination => &[Reporter::Destination],
            Self::Both => &[Reporter::Source, Reporter::Destination],
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reporter {
    Source,
    Destination,
}

impl Reporter {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Destination => "destination",
        }
    }

    pub(super) fn direction(self) -> Direction {
        match self {
            Self::Source => Direction::Outbound,
            Self::Destination => Direction::Inbound,
        }
    }
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

impl ResponseFlags {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::None => "-",
            Self::Deny => "DENY",
            Self::Connect => "CONNECT",
            Self::TlsFailure => "TLS_FAILURE",
            Self::Http2HandshakeFailure => "H2_HANDSHAKE_FAILURE",
            Self::NetworkPolicy => "NETWORK_POLICY",
            Self::IdentityError => "IDENTITY_ERROR",
            Self::CertificateRevoked => "CERT_REVOKED",
        }
    }
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
    /// Verified, or the engine's own pod's.
    pub source_identity: Option<Arc<str>>,
    /// Verified, or the engine's own pod's.
    pub destination_identity: Option<Arc<str>>,
}

impl FlowDescription {
    /// The enrolled pod on the reporter's side.
    pub(super) fn pod(&self, reporter: Reporter) -> Option<&Arc<str>> {
        match reporter {
            Reporter::Source => self.source_pod.as_ref(),
            Reporter::Destination => self.destination_pod.as_ref(),
        }
    }
}

pub struct FlowStart {
    pub description: FlowDescription,
    pub cancel: CancelHandle,
}

#[derive(Clone, Debug)]
pub struct FlowEnd {
    pub response_flags: ResponseFlags,
    /// What went wrong, for an operator; absent means a good end.
    pub error: Option<Arc<str>>,
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
    pub fn failed(response_flags: ResponseFlags, error: impl Into<Arc<str>>) -> Self {
        Self {
            response_flags,
            error: Some(error.into()),
            policy: None,
        }
    }
}

/// One side's view of an open flow.
pub(super) struct Report {
    pub(super) id: u64,
    pub(super) reporter: Reporter,
    pub(super) series: Arc<Series>,
}

pub(super) struct OpenFlow {
    pub(super) description: Arc<FlowDescription>,
    pub(super) reports: Vec<Report>,
    pub(super) cancel: CancelHandle,
    pub(super) opened: Instant,
    pub(super) opened_at: SystemTime,
    pub(super) received: AtomicU64,
    pub(super) sent: AtomicU64,
}

/// An open flow's counters. Dropped without `finish` it counts as aborted.
pub struct FlowTelemetry {
    telemetry: Arc<Telemetry>,
    flow: Arc<OpenFlow>,
    finished: bool,
}

impl FlowTelemetry {
    pub(super) fn new(telemetry: Arc<Telemetry>, flow: Arc<OpenFlow>) -> Self {
        Self {
            telemetry,
            flow,
            finished: false,
        }
    }

    /// Request bytes, from the client to the server.
    pub fn received(&self, bytes: u64) {
        self.flow.received.fetch_add(bytes, Ordering::Relaxed);
        for report in &self.flow.reports {
            report.series.received(bytes);
        }
    }

    /// Response bytes, from the server to the client.
    pub fn sent(&self, bytes: u64) {
        self.flow.sent.fetch_add(bytes, Ordering::Relaxed);
        for report in &self.flow.reports {
            report.series.sent(bytes);
        }
    }

    pub fn finish(mut self, end: FlowEnd) {
        self.end(end);
    }

    fn end(&mut self, end: FlowEnd) {
        self.finished = true;
        self.telemetry.close(&self.flow, end);
    }
}

impl Drop for FlowTelemetry {
    fn drop(&mut self) {
        if !self.finished {
            let error = "the engine gave the connection up before its end";
            self.end(FlowEnd::failed(ResponseFlags::None, error));
        }
    }
}
