//! Metrics, the access log and the table of open flows. Nothing here takes a lock when bytes move.

mod cancel;
mod flow;
mod registry;

use std::io;
use std::sync::Arc;

use crate::api::{FlowInfo, LogFormat};

pub use cancel::CancelHandle;
pub use flow::{FlowDescription, FlowEnd, FlowStart, FlowTelemetry, Reporters, ResponseFlags};
pub use registry::{Counter, Gauge, Histogram, Registry};

#[derive(Clone, Debug)]
pub struct TelemetryOptions {
    /// A path, `stdout` or `off`.
    pub access_log: String,
    pub access_log_format: LogFormat,
    /// Tag of `istio_build`.
    pub version: String,
}

/// One for the whole engine.
pub struct Telemetry {}

impl Telemetry {
    /// Opens the access log and starts its thread.
    ///
    /// # Errors
    /// When the log file cannot be opened or its thread cannot be started.
    pub fn new(_options: &TelemetryOptions) -> io::Result<Arc<Self>> {
        unimplemented!()
    }

    /// Where other parts of the engine register counters of their own.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        unimplemented!()
    }

    /// A flow that was let in and whose relay begins.
    #[must_use]
    pub fn open(self: &Arc<Self>, _start: FlowStart) -> FlowTelemetry {
        unimplemented!()
    }

    /// A flow that ended before it was opened: counts it as failed and logs `connection failed`.
    pub fn reject(&self, _flow: &FlowDescription, _end: &FlowEnd) {
        unimplemented!()
    }

    /// The open flows; both rows of a node-local join.
    #[must_use]
    pub fn flows(&self) -> Vec<FlowInfo> {
        unimplemented!()
    }

    /// Cancels the flows with these ids; unknown ids are ignored. Returns how many were cancelled.
    pub fn close_flows(&self, _ids: &[u64], _reason: &str) -> usize {
        unimplemented!()
    }

    /// Cancels every flow of a pod. Returns how many.
    pub fn close_pod(&self, _uid: &str, _reason: &str) -> usize {
        unimplemented!()
    }

    /// Cancels every flow. Returns how many.
    pub fn close_all(&self, _reason: &str) -> usize {
        unimplemented!()
    }

    /// Open flows of a pod, both directions.
    #[must_use]
    pub fn open_flows(&self, _uid: &str) -> usize {
        unimplemented!()
    }

    /// Open flows of all pods.
    #[must_use]
    pub fn all_open_flows(&self) -> usize {
        unimplemented!()
    }

    /// Prometheus text of every family.
    #[must_use]
    pub fn render(&self) -> String {
        unimplemented!()
    }

    /// Writes what is queued and joins the log's thread; later flows are counted but not logged.
    pub fn shut_down(&self) {
        unimplemented!()
    }
}
