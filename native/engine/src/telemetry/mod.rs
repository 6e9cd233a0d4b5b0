//! Metrics, the access log and the table of open flows. Nothing here takes a lock when bytes move.

mod access_log;
mod cancel;
mod flow;
mod flow_table;
mod histogram;
mod labels;
mod log_filter;
mod log_line;
mod registry;
#[cfg(test)]
mod tests;
mod text;
mod time_text;
mod traffic;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use crate::api::{AccessLogFilter, FlowInfo, LogFormat};

use access_log::AccessLog;
use flow::{OpenFlow, Report, Reporter};
use flow_table::FlowTable;
use log_line::{LogRecord, Transfer};
use traffic::Traffic;

pub use cancel::CancelHandle;
pub use flow::{FlowDescription, FlowEnd, FlowStart, FlowTelemetry, Reporters, ResponseFlags};
pub use histogram::Histogram;
pub use labels::connection_security_policy;
pub use registry::{Counter, Gauge, Registry};

#[derive(Clone, Debug)]
pub struct TelemetryOptions {
    /// A path, `stdout` or `off`.
    pub access_log: String,
    pub access_log_format: LogFormat,
    /// Tag of `istio_build`.
    pub version: String,
}

/// One for the whole engine.
pub struct Telemetry {
    registry: Registry,
    traffic: Traffic,
    table: FlowTable,
    log: AccessLog,
    last_id: AtomicU64,
}

impl Telemetry {
    /// Opens the access log and starts its thread.
    ///
    /// # Errors
    /// When the log file cannot be opened or its thread cannot be started.
    pub fn new(options: &TelemetryOptions) -> io::Result<Arc<Self>> {
        let registry = Registry::default();
        let log = AccessLog::start(&options.access_log, options.access_log_format, &registry)?;
        // The component's name is ztunnel's, because boards look for it.
        let build = [("component", "ztunnel"), ("tag", &options.version)];
        registry
            .gauge("istio_build", "The version that runs.", &build)
            .set(1);
        Ok(Arc::new(Self {
            traffic: Traffic::new(&registry),
            registry,
            table: FlowTable::default(),
            log,
            last_id: AtomicU64::new(0),
        }))
    }

    /// Where other parts of the engine register counters of their own.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// A flow that was let in and whose relay begins.
    #[must_use]
    pub fn open(self: &Arc<Self>, start: FlowStart) -> FlowTelemetry {
        let description = Arc::new(start.description);
        let reporters = description.reporters.each().iter();
        let reports = reporters.map(|reporter| self.report(&description, *reporter));
        let flow = Arc::new(OpenFlow {
            reports: reports.collect(),
            description,
            cancel: start.cancel,
            opened: Instant::now(),
            opened_at: SystemTime::now(),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        });
        self.table.insert(&flow);
        FlowTelemetry::new(self.clone(), flow)
    }

    /// A flow that ended before it was opened: counts it as failed and logs `connection failed`.
    pub fn reject(&self, flow: &FlowDescription, end: &FlowEnd) {
        let description = Arc::new(flow.clone());
        let id = self.next_id();
        for reporter in flow.reporters.each() {
            self.traffic
                .failed(&description, *reporter, end.response_flags);
            self.denied(*reporter, end);
            self.log(id, &description, *reporter, end, None);
        }
    }

    /// At most `limit` open flows of a pod, in order of their ids from the one that follows `after`; a node-local join has
    /// a row at each of its pods.
    #[must_use]
    pub fn flows(&self, pod: &str, after: u64, limit: usize) -> Vec<FlowInfo> {
        self.table.infos(pod, after, limit)
    }

    /// Cancels every flow of a pod. Returns how many.
    pub fn close_pod(&self, uid: &str, reason: &str) -> usize {
        self.table.cancel_pod(uid, reason)
    }

    /// Cancels every flow. Returns how many.
    pub fn close_all(&self, reason: &str) -> usize {
        self.table.cancel_all(reason)
    }

    /// Open flows of a pod, both directions.
    #[must_use]
    pub fn open_flows(&self, uid: &str) -> usize {
        self.table.of_pod(uid)
    }

    /// Open flows of all pods; a node-local join is one.
    #[must_use]
    pub fn all_open_flows(&self) -> usize {
        self.table.len()
    }

    /// Prometheus text of every family.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::new();
        self.traffic.render(&mut out);
        self.registry.render(&mut out);
        out
    }

    /// Holds for lines that are not written yet, also for those that are queued already.
    pub fn set_access_log_filter(&self, filter: AccessLogFilter) {
        self.log.set_filter(filter);
    }

    /// Writes what is queued and joins the log's thread; later flows are counted but not logged.
    pub fn shut_down(&self) {
        self.log.stop();
    }

    fn report(&self, description: &FlowDescription, reporter: Reporter) -> Report {
        Report {
            id: self.next_id(),
            reporter,
            series: self.traffic.opened(description, reporter),
        }
    }

    fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn close(&self, flow: &OpenFlow, end: FlowEnd) {
        self.table.remove(flow);
        let transfer = Transfer {
            received: flow.received.load(Ordering::Relaxed),
            sent: flow.sent.load(Ordering::Relaxed),
            duration: flow.opened.elapsed(),
        };
        let id = flow.reports.first().map_or(0, |report| report.id);
        for report in &flow.reports {
            self.traffic.closed(&report.series, report.reporter);
            if end.error.is_some() {
                let (series, flags) = (&report.series, end.response_flags);
                self.traffic
                    .broken(series, &flow.description, report.reporter, flags);
                self.denied(report.reporter, &end);
            }
            let (description, reporter) = (&flow.description, report.reporter);
            self.log(id, description, reporter, &end, Some(transfer));
        }
    }

    fn denied(&self, reporter: Reporter, end: &FlowEnd) {
        if let Some(policy) = &end.policy {
            let help = "Connections that an authorization policy refused or ended.";
            let labels = [("reporter", reporter.label()), ("policy", policy)];
            let denied = self
                .registry
                .counter("ambit_policy_denied_connections", help, &labels);
            denied.increment();
        }
    }

    fn log(
        &self,
        flow: u64,
        description: &Arc<FlowDescription>,
        reporter: Reporter,
        end: &FlowEnd,
        transfer: Option<Transfer>,
    ) {
        self.log.write(LogRecord {
            time: SystemTime::now(),
            flow,
            description: description.clone(),
            reporter,
            end: end.clone(),
            transfer,
        });
    }
}
