//! What is counted of name queries, in ztunnel's words.

use std::cell::RefCell;
use std::collections::HashMap;

use domain::base::iana::Rtype;

use crate::api::WorkloadDescriptor;
use crate::flows::{Pod, ThreadContext};
use crate::telemetry::{Counter, Histogram, Registry};

/// Upper ends of the buckets, in seconds.
const BOUNDS: [f64; 6] = [0.0005, 0.001, 0.01, 0.1, 1.0, 5.0];

/// How a query came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carrier {
    Udp,
    Tcp,
}

/// Of one kind of query of one workload.
#[derive(Clone)]
pub struct Series {
    pub requests: Counter,
    pub upstream_requests: Counter,
    pub upstream_failures: Counter,
    pub upstream_duration: Histogram,
}

/// Of the whole engine.
pub struct DnsMetrics {
    /// Queries that nobody answers: unreadable, or sent to the socket itself.
    pub dropped: Counter,
    /// Replies that answer nothing that was asked.
    pub spoofed: Counter,
    /// Replies that were larger than what may be passed on.
    pub oversized: Counter,
    /// Queries beyond what one pod may have under way.
    pub overflowed: Counter,
    /// Sockets for pods' queries that have failed.
    pub lost: Counter,
}

impl DnsMetrics {
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let name = "ambit_dns_discarded";
        let help = "Name queries and replies that were not passed on, by reason.";
        let counter = |reason| registry.counter(name, help, &[("reason", reason)]);
        DnsMetrics {
            dropped: counter("unreadable_query"),
            spoofed: counter("foreign_reply"),
            oversized: counter("oversized_reply"),
            overflowed: counter("too_many_queries"),
            lost: registry.counter(
                "ambit_dns_captures_lost",
                "Times that a pod's name queries went to its resolver because their socket had failed.",
                &[],
            ),
        }
    }
}

/// The series of one pod, looked up once per kind of query. Of one thread.
#[derive(Default)]
pub struct PodSeries(RefCell<HashMap<(&'static str, Carrier), Series>>);

impl PodSeries {
    pub fn of(&self, context: &ThreadContext, pod: &Pod, kind: Rtype, carrier: Carrier) -> Series {
        let key = (word(kind), carrier);
        if let Some(known) = self.0.borrow().get(&key) {
            return known.clone();
        }
        let workload = context.shared.workload(Some(&pod.spec().workload));
        let series = register(
            context.shared.telemetry.registry(),
            workload.as_deref(),
            key,
        );
        // A workload that is described later still gets its own series.
        if workload.is_some() {
            self.0.borrow_mut().insert(key, series.clone());
        }
        series
    }
}

fn register(
    registry: &Registry,
    workload: Option<&WorkloadDescriptor>,
    (kind, carrier): (&str, Carrier),
) -> Series {
    let protocol = match carrier {
        Carrier::Udp => "udp",
        Carrier::Tcp => "tcp",
    };
    let text = |of: fn(&WorkloadDescriptor) -> &str| {
        let text = workload.map_or("", of);
        if text.is_empty() { "unknown" } else { text }
    };
    let labels = [
        ("request_query_type", kind),
        ("request_protocol", protocol),
        ("source_canonical_service", text(|it| &it.canonical_service)),
        (
            "source_canonical_revision",
            text(|it| &it.canonical_revision),
        ),
    ];
    let counter = |name, help| registry.counter(name, help, &labels);
    Series {
        requests: counter("istio_dns_requests", "Name queries of pods."),
        upstream_requests: counter(
            "istio_dns_upstream_requests",
            "Name queries that were forwarded to the pod's resolver.",
        ),
        upstream_failures: counter(
            "istio_dns_upstream_failures",
            "Forwarded name queries that got no answer.",
        ),
        upstream_duration: registry.histogram(
            "istio_dns_upstream_request_duration_seconds",
            "How long the pod's resolver took to answer over UDP.",
            &labels,
            &BOUNDS,
        ),
    }
}

/// A pod may ask for 65,536 types: those that matter have their names.
fn word(kind: Rtype) -> &'static str {
    match kind {
        Rtype::A => "A",
        Rtype::AAAA => "AAAA",
        Rtype::CNAME => "CNAME",
        Rtype::HTTPS => "HTTPS",
        Rtype::MX => "MX",
        Rtype::NS => "NS",
        Rtype::PTR => "PTR",
        Rtype::SOA => "SOA",
        Rtype::SRV => "SRV",
        Rtype::TXT => "TXT",
        _ => "other",
    }
}
