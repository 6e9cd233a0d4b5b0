//! The open flows, for dumps and for closing them from outside. One entry for each report.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::flow::{OpenFlow, Report, Reporter};
use crate::api::FlowInfo;

#[derive(Default)]
struct Rows {
    flows: HashMap<u64, Arc<OpenFlow>>,
    per_pod: HashMap<Arc<str>, usize>,
}

/// Locked when a flow opens and closes, never when bytes move.
#[derive(Default)]
pub(super) struct FlowTable {
    rows: Mutex<Rows>,
}

impl FlowTable {
    pub(super) fn insert(&self, flow: &Arc<OpenFlow>) {
        let mut rows = self.lock();
        for report in &flow.reports {
            rows.flows.insert(report.id, flow.clone());
            if let Some(pod) = flow.description.pod(report.reporter) {
                *rows.per_pod.entry(pod.clone()).or_default() += 1;
            }
        }
    }

    pub(super) fn remove(&self, flow: &OpenFlow) {
        let mut rows = self.lock();
        for report in &flow.reports {
            rows.flows.remove(&report.id);
            if let Some(pod) = flow.description.pod(report.reporter) {
                rows.leave(pod);
            }
        }
    }

    pub(super) fn infos(&self) -> Vec<FlowInfo> {
        let flows: Vec<_> = {
            let rows = self.lock();
            rows.flows
                .iter()
                .map(|(id, flow)| (*id, flow.clone()))
                .collect()
        };
        flows
            .iter()
            .filter_map(|(id, flow)| info(*id, flow))
            .collect()
    }

    pub(super) fn cancel_ids(&self, ids: &[u64], reason: &str) -> usize {
        let rows = self.lock();
        let flows: Vec<_> = ids
            .iter()
            .filter_map(|id| rows.flows.get(id).cloned())
            .collect();
        drop(rows);
        cancel(&flows, reason)
    }

    pub(super) fn cancel_pod(&self, uid: &str, reason: &str) -> usize {
        self.cancel_where(reason, |flow| {
            let of_pod = |report: &Report| {
                let pod = flow.description.pod(report.reporter);
                pod.is_some_and(|pod| **pod == *uid)
            };
            flow.reports.iter().any(of_pod)
        })
    }

    pub(super) fn cancel_all(&self, reason: &str) -> usize {
        self.cancel_where(reason, |_| true)
    }

    pub(super) fn of_pod(&self, uid: &str) -> usize {
        self.lock().per_pod.get(uid).copied().unwrap_or(0)
    }

    /// Flows, not reports: a node-local join is one.
    pub(super) fn len(&self) -> usize {
        let rows = self.lock();
        let first = |(id, flow): &(&u64, &Arc<OpenFlow>)| {
            flow.reports.first().is_some_and(|report| report.id == **id)
        };
        rows.flows.iter().filter(first).count()
    }

    fn cancel_where(&self, reason: &str, chosen: impl Fn(&OpenFlow) -> bool) -> usize {
        let rows = self.lock();
        let flows = rows.flows.values().filter(|flow| chosen(flow));
        let flows: Vec<_> = flows.cloned().collect();
        drop(rows);
        cancel(&flows, reason)
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    fn leave(&mut self, pod: &Arc<str>) {
        if let Some(count) = self.per_pod.get_mut(pod) {
            *count -= 1;
            if *count == 0 {
                self.per_pod.remove(pod);
            }
        }
    }
}

/// Outside the lock: cancelling wakes tasks.
fn cancel(flows: &[Arc<OpenFlow>], reason: &str) -> usize {
    flows
        .iter()
        .filter(|flow| flow.cancel.cancel(reason))
        .count()
}

fn info(id: u64, flow: &OpenFlow) -> Option<FlowInfo> {
    let report = flow.reports.iter().find(|report| report.id == id)?;
    let description = &flow.description;
    let pod = description.pod(report.reporter).cloned();
    let inbound = report.reporter == Reporter::Destination;
    Some(FlowInfo {
        id,
        pod: pod.unwrap_or_default(),
        direction: report.reporter.direction(),
        source: description.source,
        original_destination: description.original_destination,
        actual_destination: description.destination,
        transport: description.transport,
        bytes_sent: flow.sent.load(Ordering::Relaxed),
        bytes_received: flow.received.load(Ordering::Relaxed),
        opened_at: milliseconds(flow.opened_at),
        question: flow.question.clone().filter(|_| inbound),
    })
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
