//! Flows that need leave to enter a pod, from before they ask for it until they end: what a changed policy is held against.
//!
//! A flow is listed first and asks then. A change is the other way round: first the cache forgets what it decided, then
//! whoever watches policy goes through this list. So each flow is either in the list that is gone through, or asks after
//! the change; no flow slips between the two, and none has to be looked for later.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::refusal::{Reason, Refused};
use crate::api::{InboundFlowPage, InboundFlows, InboundQuestion};
use crate::telemetry::{CancelHandle, ResponseFlags};

struct Admitted {
    question: InboundQuestion,
    cancel: CancelHandle,
    /// Leave was taken back: what cancelled it otherwise is no matter of policy.
    withdrawn: AtomicBool,
}

/// One entry for each pod that has any.
type Pods = HashMap<Arc<str>, BTreeMap<u64, Arc<Admitted>>>;

/// Locked when a flow comes and when it ends.
#[derive(Default)]
pub struct Admissions {
    last_id: AtomicU64,
    pods: Mutex<Pods>,
}

impl Admissions {
    /// Lists a flow that is about to ask.
    pub fn list(self: &Arc<Self>, question: InboundQuestion) -> Admission {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let cancel = CancelHandle::new();
        let admitted = Arc::new(Admitted {
            question,
            cancel,
            withdrawn: AtomicBool::new(false),
        });
        let mut pods = self.lock();
        let pod = pods.entry(admitted.question.pod.clone()).or_default();
        pod.insert(id, admitted.clone());
        drop(pods);
        Admission {
            id,
            admitted,
            admissions: self.clone(),
        }
    }

    /// At most `limit` flows into a pod, by their questions, in order of their ids from the one that follows `after`.
    pub fn page(&self, pod: &str, after: u64, limit: usize) -> InboundFlowPage {
        let rows = self.rows(pod, after, limit);
        let full = rows.len() >= limit;
        let next = rows.last().map(|(id, _)| *id).filter(|_| full);
        let mut groups: HashMap<&InboundQuestion, Vec<u64>> = HashMap::new();
        for (id, admitted) in &rows {
            groups.entry(&admitted.question).or_default().push(*id);
        }
        let flows = groups.into_iter().map(|(question, ids)| InboundFlows {
            question: question.clone(),
            ids,
        });
        InboundFlowPage {
            flows: flows.collect(),
            next,
        }
    }

    fn rows(&self, pod: &str, after: u64, limit: usize) -> Vec<(u64, Arc<Admitted>)> {
        let pods = self.lock();
        let Some(pod) = pods.get(pod) else {
            return Vec::new();
        };
        pod.range((Bound::Excluded(after), Bound::Unbounded))
            .take(limit)
            .map(|(id, admitted)| (*id, admitted.clone()))
            .collect()
    }

    /// Ends flows into a pod, also those that are still on their way; ids that are not there any more are left out.
    pub fn close(&self, pod: &str, ids: &[u64], reason: &str) {
        let closed: Vec<_> = {
            let pods = self.lock();
            let Some(pod) = pods.get(pod) else {
                return;
            };
            ids.iter().filter_map(|id| pod.get(id).cloned()).collect()
        };
        // Outside the lock: cancelling wakes tasks.
        for admitted in closed {
            admitted.withdrawn.store(true, Ordering::Relaxed);
            admitted.cancel.cancel(reason);
        }
    }

    fn remove(&self, pod: &Arc<str>, id: u64) {
        let mut pods = self.lock();
        if let Some(flows) = pods.get_mut(pod) {
            flows.remove(&id);
            if flows.is_empty() {
                pods.remove(pod);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pods> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A flow's entry in the list, until it is dropped.
pub struct Admission {
    id: u64,
    admitted: Arc<Admitted>,
    admissions: Arc<Admissions>,
}

impl Admission {
    pub fn question(&self) -> &InboundQuestion {
        &self.admitted.question
    }

    /// Ends the flow.
    pub fn cancel(&self) -> &CancelHandle {
        &self.admitted.cancel
    }

    /// What the response flags say of a flow that was cancelled.
    pub fn flags(&self) -> ResponseFlags {
        if self.admitted.withdrawn.load(Ordering::Relaxed) {
            ResponseFlags::Deny
        } else {
            ResponseFlags::None
        }
    }

    /// Does `work`, unless leave to enter is taken back meanwhile.
    pub async fn while_allowed<T>(
        &self,
        work: impl Future<Output = Result<T, Refused>>,
    ) -> Result<T, Refused> {
        tokio::select! {
            biased;
            reason = self.cancel().cancelled() => Err(Refused::new(Reason::PolicyDenied, &*reason)),
            done = work => done,
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.admissions.remove(&self.question().pod, self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Transport;

    fn question(pod: &str, port: u16) -> InboundQuestion {
        InboundQuestion {
            pod: pod.into(),
            peer: None,
            source: "10.0.0.1".parse().expect("an address"),
            destination: "10.0.0.2".parse().expect("an address"),
            port,
            transport: Transport::Plaintext,
        }
    }

    /// Ports and ids of everything that is listed for a pod.
    fn listed(admissions: &Admissions, pod: &str, limit: usize) -> Vec<(u16, u64)> {
        let (mut rows, mut after) = (Vec::new(), Some(0));
        while let Some(start) = after {
            let page = admissions.page(pod, start, limit);
            for flows in page.flows {
                rows.extend(flows.ids.iter().map(|id| (flows.question.port, *id)));
            }
            after = page.next;
        }
        rows.sort_unstable_by_key(|(_, id)| *id);
        rows
    }

    #[test]
    fn pages_tell_of_each_flow_of_the_pod_once() {
        let admissions = Arc::new(Admissions::default());
        let held: Vec<_> = (0..7)
            .map(|index| admissions.list(question("a", 80 + index % 2)))
            .collect();
        let _other = admissions.list(question("b", 80));
        let ids: Vec<_> = held
            .iter()
            .map(|admission| (admission.question().port, admission.id))
            .collect();
        for limit in [1, 3, 7, 100] {
            assert_eq!(listed(&admissions, "a", limit), ids, "limit {limit}");
        }
    }

    #[test]
    fn flows_of_one_question_are_told_together() {
        let admissions = Arc::new(Admissions::default());
        let held = [80, 81, 80].map(|port| admissions.list(question("a", port)));
        let page = admissions.page("a", 0, 100);
        assert_eq!((page.flows.len(), page.next), (2, None));
        let together = page.flows.iter().find(|flows| flows.question.port == 80);
        assert_eq!(together.expect("port 80").ids, [held[0].id, held[2].id]);
    }

    #[test]
    fn an_ended_flow_leaves_nothing() {
        let admissions = Arc::new(Admissions::default());
        drop(admissions.list(question("a", 80)));
        assert!(admissions.lock().is_empty());
    }

    #[tokio::test]
    async fn a_flow_on_its_way_ends_when_its_leave_is_taken_back() {
        let admissions = Arc::new(Admissions::default());
        let [taken, kept] = [80, 81].map(|port| admissions.list(question("a", port)));
        let never = std::future::pending::<Result<(), Refused>>();
        let dialling = taken.while_allowed(never);
        admissions.close("a", &[taken.id, 999], "policy_changed");
        let refused = dialling.await.expect_err("refused");
        assert_eq!(
            [&taken, &kept].map(Admission::flags),
            [ResponseFlags::Deny, ResponseFlags::None]
        );
        assert_eq!(
            (refused.reason, &*refused.message),
            (Reason::PolicyDenied, "policy_changed")
        );
        let arrived = kept.while_allowed(async { Ok(()) });
        assert!(arrived.await.is_ok());
    }

    #[tokio::test]
    async fn leave_that_was_taken_back_before_the_work_began_counts() {
        let admissions = Arc::new(Admissions::default());
        let taken = admissions.list(question("a", 80));
        admissions.close("a", &[taken.id], "policy_changed");
        assert!(taken.while_allowed(async { Ok(()) }).await.is_err());
    }
}
