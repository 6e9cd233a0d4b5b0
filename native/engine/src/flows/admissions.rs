//! Flows that need leave to enter a pod, from before they ask for it until they end: what a changed policy is held against.
//!
//! A flow is listed first and asks then. A change is the other way round: first the cache forgets what it decided, then
//! whoever watches policy goes through this list. So each flow is either in the list that is gone through, or asks after
//! the change; no flow slips between the two, and none has to be looked for later.
//!
//! Each engine thread lists its own flows, by what they ask: a change is decided once for all that ask the same, and ends
//! them on their own thread, where waking a task is no system call.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::refusal::{Reason, Refused};
use crate::api::{InboundFlowPage, InboundFlows, InboundQuestion};
use crate::telemetry::{CancelHandle, ResponseFlags};

/// Flows that are ended before others on their thread have their turn: few enough that nobody waits for long, many enough
/// that a tunnel tells its peer of them in few writes.
const AT_ONCE: usize = 256;

#[derive(Default)]
struct Admitted {
    cancel: CancelHandle,
    /// Leave was taken back: what cancelled it otherwise is no matter of policy.
    withdrawn: AtomicBool,
}

/// Flows of one thread that ask the same.
struct Group {
    question: Arc<InboundQuestion>,
    flows: BTreeMap<u64, Arc<Admitted>>,
}

/// The flows into one pod; a group has at least one.
#[derive(Default)]
struct Groups {
    by_id: BTreeMap<u64, Group>,
    ids: HashMap<Arc<InboundQuestion>, u64>,
}

/// One entry for each pod that has any.
type Pods = HashMap<Arc<str>, Groups>;

/// The list of one thread. Locked when a flow comes and when it ends.
pub struct Admissions {
    /// Counts up over all threads, so that their lists can be read as one.
    last_id: Arc<AtomicU64>,
    pods: Mutex<Pods>,
}

impl Admissions {
    pub fn new(last_id: Arc<AtomicU64>) -> Arc<Self> {
        Arc::new(Self {
            last_id,
            pods: Mutex::default(),
        })
    }

    /// Lists a flow that is about to ask.
    pub fn list(self: &Arc<Self>, question: InboundQuestion) -> Admission {
        let pod = question.pod.clone();
        let admitted = Arc::new(Admitted::default());
        let id = self.next_id();
        let mut pods = self.lock();
        let groups = pods.entry(pod.clone()).or_default();
        let group = groups.group_of(question, id);
        if let Some(group) = groups.by_id.get_mut(&group) {
            group.flows.insert(id, admitted.clone());
        }
        drop(pods);
        Admission {
            pod,
            group,
            id,
            admitted,
            admissions: self.clone(),
        }
    }

    fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn groups(&self, pod: &str, after: u64, limit: usize) -> Vec<InboundFlows> {
        let pods = self.lock();
        let Some(groups) = pods.get(pod) else {
            return Vec::new();
        };
        let groups = groups
            .by_id
            .range((Bound::Excluded(after), Bound::Unbounded));
        let groups = groups.take(limit).map(|(id, group)| InboundFlows {
            id: *id,
            question: (*group.question).clone(),
            count: group.flows.len(),
        });
        groups.collect()
    }

    /// What is to be told to the thread that lists them; ids that are not there any more are left out.
    pub fn take_back(&self, pod: &str, groups: &[u64]) -> Withdrawal {
        let pods = self.lock();
        let listed = pods.get(pod).into_iter();
        let groups = listed.flat_map(|listed| groups.iter().filter_map(|id| listed.by_id.get(id)));
        Withdrawal(
            groups
                .flat_map(|group| group.flows.values().cloned())
                .collect(),
        )
    }

    fn remove(&self, admission: &Admission) {
        let mut pods = self.lock();
        if let Some(groups) = pods.get_mut(&admission.pod) {
            groups.remove(admission.group, admission.id);
            if groups.by_id.is_empty() {
                pods.remove(&admission.pod);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pods> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Groups {
    /// The group of a question: the one that there is, or a new one under `id`.
    fn group_of(&mut self, question: InboundQuestion, id: u64) -> u64 {
        if let Some(id) = self.ids.get(&question) {
            return *id;
        }
        let question = Arc::new(question);
        self.ids.insert(question.clone(), id);
        let flows = BTreeMap::new();
        self.by_id.insert(id, Group { question, flows });
        id
    }

    fn remove(&mut self, id: u64, flow: u64) {
        let Some(group) = self.by_id.get_mut(&id) else {
            return;
        };
        group.flows.remove(&flow);
        if group.flows.is_empty() {
            self.ids.remove(&group.question);
            self.by_id.remove(&id);
        }
    }
}

/// At most `limit` groups of flows into a pod, on whatever thread, in order of their ids from the one that follows `after`.
pub fn page<'lists>(
    lists: impl Iterator<Item = &'lists Admissions>,
    pod: &str,
    after: u64,
    limit: usize,
) -> InboundFlowPage {
    let mut flows: Vec<_> = lists
        .flat_map(|list| list.groups(pod, after, limit))
        .collect();
    flows.sort_unstable_by_key(|flows| flows.id);
    flows.truncate(limit);
    let full = flows.len() == limit;
    let next = flows.last().map(|last| last.id).filter(|_| full);
    InboundFlowPage { flows, next }
}

/// Flows whose leave is taken back.
pub struct Withdrawal(Vec<Arc<Admitted>>);

impl Withdrawal {
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Ends them, also those that are still on their way. To be run on the thread of the flows.
    pub async fn enforce(self, reason: Arc<str>) {
        for flows in self.0.chunks(AT_ONCE) {
            for flow in flows {
                flow.withdrawn.store(true, Ordering::Relaxed);
                flow.cancel.cancel(reason.clone());
            }
            tokio::task::yield_now().await;
        }
    }
}

/// A flow's entry in the list, until it is dropped.
pub struct Admission {
    pod: Arc<str>,
    group: u64,
    id: u64,
    admitted: Arc<Admitted>,
    admissions: Arc<Admissions>,
}

impl Admission {
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
        self.admissions.remove(self);
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

    /// Those of as many threads.
    fn lists(count: usize) -> Vec<Arc<Admissions>> {
        let last_id = Arc::new(AtomicU64::new(0));
        (0..count)
            .map(|_| Admissions::new(last_id.clone()))
            .collect()
    }

    /// Ports and counts of everything that is listed for a pod.
    fn listed(lists: &[Arc<Admissions>], pod: &str, limit: usize) -> Vec<(u16, usize)> {
        let (mut rows, mut after) = (Vec::new(), Some(0));
        while let Some(start) = after {
            let page = page(lists.iter().map(Arc::as_ref), pod, start, limit);
            rows.extend(
                page.flows
                    .iter()
                    .map(|flows| (flows.question.port, flows.count)),
            );
            after = page.next;
        }
        rows
    }

    #[test]
    fn pages_tell_of_each_group_of_each_thread_once() {
        let lists = lists(2);
        let _held: Vec<_> = (0..7)
            .map(|index| lists[index % 2].list(question("a", 80 + index as u16)))
            .collect();
        let _other = lists[0].list(question("b", 80));
        let all: Vec<_> = (80..87).map(|port| (port, 1)).collect();
        for limit in [1, 3, 7, 100] {
            assert_eq!(listed(&lists, "a", limit), all, "limit {limit}");
        }
    }

    #[test]
    fn flows_of_a_thread_that_ask_the_same_are_one_group() {
        let lists = lists(2);
        let _held = [80, 81, 80].map(|port| lists[0].list(question("a", port)));
        let _there = lists[1].list(question("a", 80));
        assert_eq!(listed(&lists, "a", 100), [(80, 2), (81, 1), (80, 1)]);
    }

    #[test]
    fn an_ended_flow_leaves_nothing() {
        let admissions = lists(1).remove(0);
        let [first, second] = [80, 80].map(|port| admissions.list(question("a", port)));
        drop(first);
        let again = admissions.list(question("a", 80));
        drop((second, again));
        assert!(admissions.lock().is_empty());
    }

    fn all(admissions: &Admissions, pod: &str, port: u16) -> Vec<u64> {
        let groups = admissions.groups(pod, 0, 100).into_iter();
        let asked = groups.filter(|flows| flows.question.port == port);
        asked.map(|flows| flows.id).chain([999]).collect()
    }

    #[tokio::test]
    async fn a_flow_on_its_way_ends_when_its_leave_is_taken_back() {
        let admissions = lists(1).remove(0);
        let [taken, kept] = [80, 81].map(|port| admissions.list(question("a", port)));
        let never = std::future::pending::<Result<(), Refused>>();
        let dialling = taken.while_allowed(never);
        let withdrawal = admissions.take_back("a", &all(&admissions, "a", 80));
        assert_eq!(withdrawal.count(), 1);
        withdrawal.enforce("policy_changed".into()).await;
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
        let admissions = lists(1).remove(0);
        let taken = admissions.list(question("a", 80));
        let withdrawal = admissions.take_back("a", &all(&admissions, "a", 80));
        withdrawal.enforce("policy_changed".into()).await;
        assert!(taken.while_allowed(async { Ok(()) }).await.is_err());
    }

    #[tokio::test]
    async fn many_are_ended_and_others_have_their_turn_in_between() {
        let admissions = lists(1).remove(0);
        let held: Vec<_> = (0..3 * AT_ONCE)
            .map(|_| admissions.list(question("a", 80)))
            .collect();
        let mut ending = Box::pin(
            admissions
                .take_back("a", &all(&admissions, "a", 80))
                .enforce("policy_changed".into()),
        );
        let ended = || {
            let ended = |admission: &&Admission| admission.cancel().reason().is_some();
            held.iter().filter(ended).count()
        };
        let mut turns = Vec::new();
        while poll_once(&mut ending).await.is_none() {
            turns.push(ended());
        }
        assert_eq!(turns, [AT_ONCE, 2 * AT_ONCE, 3 * AT_ONCE]);
    }

    async fn poll_once(work: &mut (impl Future<Output = ()> + Unpin)) -> Option<()> {
        std::future::poll_fn(|context| {
            let polled = std::pin::Pin::new(&mut *work).poll(context);
            std::task::Poll::Ready(polled.is_ready().then_some(()))
        })
        .await
    }
}
