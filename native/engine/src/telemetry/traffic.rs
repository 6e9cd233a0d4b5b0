//! The `istio_tcp_*` families: Istio's names and labels, so that boards and Kiali read them unchanged.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Instant;

use super::flow::{FlowDescription, Reporter, ResponseFlags};
use super::labels::{write_labels, write_other_labels};
use super::registry::{Counter, Gauge, Registry};
use super::text::{write_header, write_sample};

/// Label sets kept; peers can make new ones (by names of workloads), so their number is bounded.
const SERIES_BOUND: usize = 8_192;

/// Seconds after which a label set without open flows may make room for a new one: longer than any board looks back by
/// a rate, so that nobody sees a counter fall.
const IDLE: u64 = 3_600;

/// Seconds between two searches for idle label sets, for each holds the lock.
const SWEEP_INTERVAL: u64 = 60;

/// All families of one label set.
#[derive(Debug, Default)]
pub(super) struct Series {
    opened: AtomicU64,
    closed: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    failed: AtomicU64,
    /// Seconds since the engine's start.
    used_at: AtomicU64,
    /// The label set of the same flows under DENY, once one was ended so: a policy may end thousands at once.
    denied: OnceLock<Arc<Series>>,
    /// For whatever had no room: its flows have different label sets.
    is_overflow: bool,
}

impl Series {
    pub(super) fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A label set with `response_flags` has failures only, one without has failures seldom.
    fn shows(&self, family: &str) -> bool {
        let counted = if family == FAILED {
            &self.failed
        } else {
            &self.opened
        };
        counted.load(Ordering::Relaxed) > 0
    }
}

type Field = fn(&Series) -> &AtomicU64;

const FAILED: &str = "istio_tcp_connections_failed_total";

/// Name, help and where it is kept.
const FAMILIES: [(&str, &str, Field); 5] = [
    (
        "istio_tcp_connections_opened_total",
        "TCP connections opened.",
        |series| &series.opened,
    ),
    (
        "istio_tcp_connections_closed_total",
        "TCP connections closed.",
        |series| &series.closed,
    ),
    (
        "istio_tcp_received_bytes_total",
        "Bytes of requests: from the client to the server.",
        |series| &series.received,
    ),
    (
        "istio_tcp_sent_bytes_total",
        "Bytes of responses: from the server to the client.",
        |series| &series.sent,
    ),
    (
        FAILED,
        "TCP connections refused or ended by an error.",
        |series| &series.failed,
    ),
];

#[derive(Default)]
struct Known {
    series: HashMap<Box<str>, Arc<Series>>,
    swept_at: u64,
}

impl Known {
    /// Drops label sets that nobody counts under any more.
    fn sweep(&mut self, now: u64) {
        if now < self.swept_at + SWEEP_INTERVAL {
            return;
        }
        self.swept_at = now;
        self.series.retain(|_, series| {
            let open = Arc::strong_count(series) > 1;
            open || series.used_at.load(Ordering::Relaxed) + IDLE > now
        });
    }
}

pub(super) struct Traffic {
    started: Instant,
    known: RwLock<Known>,
    bound: usize,
    overflow: Counter,
    sockets: [Gauge; 2],
}

impl Traffic {
    pub(super) fn new(registry: &Registry) -> Self {
        Self::bounded(registry, SERIES_BOUND)
    }

    pub(super) fn bounded(registry: &Registry, bound: usize) -> Self {
        let sockets = [Reporter::Source, Reporter::Destination].map(|reporter| {
            let help = "TCP connections open now.";
            let labels = [("reporter", reporter.label())];
            registry.gauge("istio_tcp_sockets_open", help, &labels)
        });
        let overflow = registry.counter(
            "ambit_traffic_series_overflow",
            "Flows counted under labels that say `other`, because there were too many label sets.",
            &[],
        );
        Self {
            started: Instant::now(),
            known: RwLock::default(),
            bound,
            overflow,
            sockets,
        }
    }

    pub(super) fn opened(&self, flow: &FlowDescription, reporter: Reporter) -> Arc<Series> {
        let series = self.series(flow, reporter, ResponseFlags::None);
        series.opened.fetch_add(1, Ordering::Relaxed);
        self.sockets[reporter as usize].add(1);
        series
    }

    pub(super) fn closed(&self, series: &Series, reporter: Reporter) {
        series.closed.fetch_add(1, Ordering::Relaxed);
        self.sockets[reporter as usize].add(-1);
    }

    /// A flow that was never opened.
    pub(super) fn failed(&self, flow: &FlowDescription, reporter: Reporter, flags: ResponseFlags) {
        let series = self.series(flow, reporter, flags);
        series.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// A flow that was opened under `series`.
    pub(super) fn broken(
        &self,
        series: &Series,
        flow: &FlowDescription,
        reporter: Reporter,
        flags: ResponseFlags,
    ) {
        if flags == ResponseFlags::None {
            series.failed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if flags != ResponseFlags::Deny || series.is_overflow {
            return self.failed(flow, reporter, flags);
        }
        let denied = series
            .denied
            .get_or_init(|| self.series(flow, reporter, flags));
        denied.failed.fetch_add(1, Ordering::Relaxed);
        denied.used_at.store(self.now(), Ordering::Relaxed);
    }

    pub(super) fn render(&self, out: &mut String) {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        for (name, help, field) in FAMILIES {
            write_header(out, name, "counter", help);
            for (labels, series) in &known.series {
                if series.shows(name) {
                    let value = field(series).load(Ordering::Relaxed);
                    write_sample(out, name, labels, value);
                }
            }
        }
    }

    fn series(
        &self,
        flow: &FlowDescription,
        reporter: Reporter,
        flags: ResponseFlags,
    ) -> Arc<Series> {
        thread_local! {
            // Some thirty labels: written into the same memory each time, for it happens at every open.
            static LABELS: RefCell<String> = RefCell::default();
        }
        LABELS.with_borrow_mut(|labels| {
            labels.clear();
            write_labels(labels, flow, reporter, flags);
            let now = self.now();
            let series = match self.find(labels) {
                Some(series) => series,
                None => self.add(labels, reporter, now),
            };
            series.used_at.store(now, Ordering::Relaxed);
            series
        })
    }

    /// Seconds since the engine's start.
    fn now(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    fn find(&self, labels: &str) -> Option<Arc<Series>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.series.get(labels).cloned()
    }

    fn add(&self, labels: &mut String, reporter: Reporter, now: u64) -> Arc<Series> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let mut is_overflow = false;
        if known.series.len() >= self.bound && !known.series.contains_key(labels.as_str()) {
            known.sweep(now);
            is_overflow = known.series.len() >= self.bound;
        }
        if is_overflow {
            self.overflow.increment();
            labels.clear();
            write_other_labels(labels, reporter);
        }
        let new = || {
            Arc::new(Series {
                is_overflow,
                ..Series::default()
            })
        };
        let series = known.series.entry(labels.as_str().into());
        series.or_insert_with(new).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use super::{IDLE, Known, Series};

    fn used_at(seconds: u64) -> Arc<Series> {
        let series = Arc::new(Series::default());
        series.used_at.store(seconds, Ordering::Relaxed);
        series
    }

    #[test]
    fn only_idle_label_sets_without_open_flows_make_room() {
        let mut known = Known::default();
        let open = used_at(0);
        known.series.insert("open".into(), open.clone());
        known.series.insert("idle".into(), used_at(0));
        known.series.insert("recent".into(), used_at(IDLE));
        known.sweep(IDLE + 1);
        let mut left: Vec<_> = known.series.keys().map(|labels| &**labels).collect();
        left.sort_unstable();
        assert_eq!(left, ["open", "recent"]);
        drop(open);
    }

    #[test]
    fn sweeps_are_seldom() {
        let mut known = Known::default();
        known.sweep(IDLE);
        known.series.insert("idle".into(), used_at(0));
        known.sweep(IDLE + 1);
        assert_eq!(known.series.len(), 1);
    }
}
