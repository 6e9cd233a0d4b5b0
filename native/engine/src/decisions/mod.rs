//! The flow cache and its upcalls: what a decision was, for how many flows it holds, and when it stops holding.
//!
//! One mutex guards it all: a hit holds it for two hash look-ups per mask, once per flow and never per byte, while
//! finer locks would let an answer and the invalidation that outdates it pass each other.

mod bucket;
mod cache;
mod counters;
mod index;
mod invalidations;
mod lane;
mod limits;
mod question;
mod refusal;
mod shared;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::api::{
    Answer, Direction, EngineEvent, EventSink, InboundQuestion, InboundVerdict, OutboundQuestion,
    OutboundVerdict,
};
use crate::telemetry::Registry;

use counters::Counters;
use index::Place;
use lane::{Lane, Outcome};
use question::Kind;
use shared::Shared;

pub use limits::DecisionLimits;
pub use refusal::Refusal;

struct Pod {
    outbound: Lane<OutboundQuestion>,
    inbound: Lane<InboundQuestion>,
}

impl Pod {
    fn new(limits: &DecisionLimits) -> Self {
        Self {
            outbound: Lane::new(limits, limits.outbound_in_flight),
            inbound: Lane::new(limits, limits.inbound_in_flight),
        }
    }
}

struct State {
    pods: HashMap<Arc<str>, Pod>,
    shared: Shared,
}

/// The cache of decisions and the questions under way. One for the whole engine; every thread asks it.
pub struct Decisions {
    sink: Arc<dyn EventSink>,
    limits: DecisionLimits,
    counters: Arc<Counters>,
    state: Mutex<State>,
}

/// Gives the lane of a pod that the question belongs to.
type LaneOf<Q> = fn(&mut Pod) -> &mut Lane<Q>;

impl Decisions {
    /// Questions leave through `sink`; counters are registered with `registry` under `ambit_decision_`.
    #[must_use]
    pub fn new(sink: Arc<dyn EventSink>, limits: DecisionLimits, registry: &Registry) -> Arc<Self> {
        let counters = Arc::new(Counters::new(registry));
        let shared = Shared::new(limits.clone(), counters.clone());
        let pods = HashMap::new();
        Arc::new(Self {
            sink,
            limits,
            counters,
            state: Mutex::new(State { pods, shared }),
        })
    }

    /// How a flow of a pod leaves. A cached verdict is returned without waiting.
    ///
    /// # Errors
    /// A [`Refusal`] with the reason for which the flow is to be closed.
    pub async fn outbound(
        &self,
        question: OutboundQuestion,
    ) -> Result<Arc<OutboundVerdict>, Refusal> {
        self.decide(question, |pod| &mut pod.outbound).await
    }

    /// Whether a flow to a pod may enter. A cached verdict is returned without waiting.
    ///
    /// # Errors
    /// A [`Refusal`] with the reason for which the flow is to be closed.
    pub async fn inbound(&self, question: InboundQuestion) -> Result<Arc<InboundVerdict>, Refusal> {
        self.decide(question, |pod| &mut pod.inbound).await
    }

    /// Takes answers in; those that a later invalidation touched are asked again.
    pub fn answer(&self, answers: Vec<Answer>) {
        let now = Instant::now();
        let mut state = self.lock();
        for answer in answers {
            state.answer(answer, now);
        }
        self.release(state);
    }

    /// Drops what is cached or under way and read one of `keys` at an older generation.
    pub fn invalidate(&self, generation: u64, keys: &[Arc<str>]) {
        let mut state = self.lock();
        state.shared.recent.record(generation, keys);
        for key in keys {
            state.invalidate(generation, key);
        }
    }

    /// Forgets everything of a pod; its waiting flows are refused with `pod_removed`. Call it when no flow of the pod can
    /// ask any more.
    pub fn remove_pod(&self, uid: &str) {
        let mut state = self.lock();
        let State { pods, shared } = &mut *state;
        if let Some(mut pod) = pods.remove(uid) {
            pod.outbound.clear(shared);
            pod.inbound.clear(shared);
        }
    }

    async fn decide<Q: Kind>(
        &self,
        question: Q,
        lane: LaneOf<Q>,
    ) -> Result<Arc<Q::Verdict>, Refusal> {
        let question = question.canonical();
        let pod = question.pod().clone();
        let receiver = match self.ask(question, lane) {
            Outcome::Known(verdict) => return Ok(verdict),
            Outcome::Refused(refusal) => return Err(self.refused(refusal)),
            Outcome::Wait(receiver) => receiver,
        };
        match tokio::time::timeout(self.limits.question_timeout, receiver).await {
            Ok(Ok(reply)) => reply.map_err(|refusal| self.refused(refusal)),
            Ok(Err(_)) => Err(self.refused(Refusal::PodRemoved)),
            Err(_) => {
                self.expire(&pod, lane);
                Err(self.refused(Refusal::Timeout))
            }
        }
    }

    fn ask<Q: Kind>(&self, question: Q, lane: LaneOf<Q>) -> Outcome<Q> {
        let mut state = self.lock();
        let State { pods, shared } = &mut *state;
        if !pods.contains_key(question.pod()) {
            pods.insert(question.pod().clone(), Pod::new(&self.limits));
        }
        let Some(pod) = pods.get_mut(question.pod()) else {
            return Outcome::Refused(Refusal::PodRemoved);
        };
        let outcome = lane(pod).ask(question, Instant::now(), shared);
        self.release(state);
        outcome
    }

    fn expire<Q: Kind>(&self, pod: &str, lane: LaneOf<Q>) {
        let mut state = self.lock();
        let State { pods, shared } = &mut *state;
        if let Some(pod) = pods.get_mut(pod) {
            lane(pod).expire(Instant::now(), shared);
        }
        self.release(state);
    }

    fn refused(&self, refusal: Refusal) -> Refusal {
        self.counters.refused(refusal);
        refusal
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Frees the lock and then emits what became due, in one batch: the sink is foreign code.
    fn release(&self, mut state: MutexGuard<'_, State>) {
        let questions = state.shared.take_outbox();
        drop(state);
        if !questions.is_empty() {
            self.sink.emit(EngineEvent::Questions(questions));
        }
    }
}

impl State {
    fn answer(&mut self, answer: Answer, now: Instant) {
        let shared = &mut self.shared;
        shared.counters.answers.increment();
        let place = shared.asked.get(&answer.id).cloned();
        let Some((place, pod)) = place.and_then(|p| self.pods.get_mut(&p.pod).map(|pod| (p, pod)))
        else {
            return shared.counters.unknown.increment();
        };
        match place.direction {
            Direction::Outbound => pod.outbound.answer(answer, now, shared),
            Direction::Inbound => pod.inbound.answer(answer, now, shared),
        }
    }

    fn invalidate(&mut self, generation: u64, key: &str) {
        for (id, Place { pod, direction }) in self.shared.index.readers(key) {
            let Some(pod) = self.pods.get_mut(&pod) else {
                continue;
            };
            let keys = match direction {
                Direction::Outbound => pod.outbound.invalidate(id, generation),
                Direction::Inbound => pod.inbound.invalidate(id, generation),
            };
            if let Some(keys) = keys {
                self.shared.entry_gone(id, &keys);
                self.shared.counters.invalidated.increment();
            }
        }
    }
}
