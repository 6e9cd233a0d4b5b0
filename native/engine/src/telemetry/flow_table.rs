//! The open flows, for dumps and for closing them from outside. One row for each report.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::flow::{OpenFlow, Report};
use crate::api::FlowInfo;

/// Rows of each pod that has any, by id.
type Pods = HashMap<Arc<str>, BTreeMap<u64, Arc<OpenFlow>>>;

/// Locked when a flow opens and closes, never when bytes move.
#[derive(Default)]
pub(super) struct FlowTable {
    pods: Mutex<Pods>,
}

impl FlowTable {
    pub(super) fn insert(&self, flow: &Arc<OpenFlow>) {
        let mut pods = self.lock();
        for report in &flow.reports {
            let rows = pods.entry(pod(flow, report)).or_default();
            rows.insert(report.id, flow.clone());
        }
    }

    pub(super) fn remove(&self, flow: &OpenFlow) {
        let mut pods = self.lock();
        for report in &flow.reports {
            let uid = pod(flow, report);
            let Some(rows) = pods.get_mut(&uid) else {
                continue;
            };
            rows.remove(&report.id);
            if rows.is_empty() {
                pods.remove(&uid);
            }
        }
    }

    pub(super) fn infos(&self, uid: &str, after: u64, limit: usize) -> Vec<FlowInfo> {
        let flows: Vec<_> = {
            let pods = self.lock();
            let Some(rows) = pods.get(uid) else {
                return Vec::new();
            };
            let rows = rows.range((Bound::Excluded(after), Bound::Unbounded));
            rows.take(limit)
                .map(|(id, flow)| (*id, flow.clone()))
                .collect()
        };
        flows
            .iter()
            .filter_map(|(id, flow)| info(*id, flow))
            .collect()
    }

    pub(super) fn cancel_pod(&self, uid: &str, reason: &str) -> usize {
        let rows = self.lock().get(uid).cloned().unwrap_or_default();
        cancel(rows.values(), reason)
    }

    pub(super) fn cancel_all(&self, reason: &str) -> usize {
        let flows: Vec<_> = self
            .lock()
            .values()
            .flat_map(BTreeMap::values)
            .cloned()
            .collect();
        cancel(&flows, reason)
    }

    pub(super) fn of_pod(&self, uid: &str) -> usize {
        self.lock().get(uid).map_or(0, BTreeMap::len)
    }

    /// Flows, not rows: a node-local join is one.
    pub(super) fn len(&self) -> usize {
        let first = |(id, flow): &(&u64, &Arc<OpenFlow>)| {
            flow.reports.first().is_some_and(|report| report.id == **id)
        };
        self.lock().values().flatten().filter(first).count()
    }

    fn lock(&self) -> MutexGuard<'_, Pods> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reporter's pod; every flow has one at each side that reports it.
fn pod(flow: &OpenFlow, report: &Report) -> Arc<str> {
    let pod = flow.description.pod(report.reporter);
    pod.cloned().unwrap_or_default()
}

/// Outside the lock: cancelling wakes tasks.
fn cancel<'flow>(flows: impl IntoIterator<Item = &'flow Arc<OpenFlow>>, reason: &str) -> usize {
    let reason: Arc<str> = reason.into();
    let cancelled = |flow: &&Arc<OpenFlow>| flow.cancel.cancel(reason.clone());
    flows.into_iter().filter(cancelled).count()
}

fn info(id: u64, flow: &OpenFlow) -> Option<FlowInfo> {
    let report = flow.reports.iter().find(|report| report.id == id)?;
    let description = &flow.description;
    Some(FlowInfo {
        id,
        pod: pod(flow, report),
        direction: report.reporter.direction(),
        source: description.source,
        original_destination: description.original_destination,
        actual_destination: description.destination,
        transport: description.transport,
        bytes_sent: flow.sent.load(Ordering::Relaxed),
        bytes_received: flow.received.load(Ordering::Relaxed),
        opened_at: milliseconds(flow.opened_at),
    })
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
