//! One pod's questions of one direction: cached, under way, waiting for their turn.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::bucket::Bucket;
use super::cache::{Cache, Entry};
use super::index::Place;
use super::question::Kind;
use super::shared::Shared;
use super::{DecisionLimits, Refusal};
use crate::api::{Answer, QuestionId};

pub(super) type Reply<Q> = Result<Arc<<Q as Kind>::Verdict>, Refusal>;
type Waiter<Q> = oneshot::Sender<Reply<Q>>;

pub(super) enum Outcome<Q: Kind> {
    Known(Arc<Q::Verdict>),
    Wait(oneshot::Receiver<Reply<Q>>),
    Refused(Refusal),
}

struct Asked<Q: Kind> {
    question: Q,
    asked_at: Instant,
    repeats: u32,
    waiters: Vec<Waiter<Q>>,
}

pub(super) struct Lane<Q: Kind> {
    cache: Cache<Q>,
    in_flight: HashMap<QuestionId, Asked<Q>>,
    /// Flows whose question is not under way because too many others of this pod are.
    queue: VecDeque<(Q, Waiter<Q>)>,
    bucket: Bucket,
    in_flight_bound: usize,
}

impl<Q: Kind> Lane<Q> {
    pub(super) fn new(limits: &DecisionLimits, in_flight_bound: usize) -> Self {
        Self {
            cache: Cache::new(limits.entries),
            in_flight: HashMap::new(),
            queue: VecDeque::new(),
            bucket: Bucket::new(limits.questions_per_second, limits.burst),
            in_flight_bound: in_flight_bound.max(1),
        }
    }

    pub(super) fn known(&mut self, question: &Q) -> Option<Arc<Q::Verdict>> {
        self.cache.get(question)
    }

    pub(super) fn ask(&mut self, question: Q, now: Instant, shared: &mut Shared) -> Outcome<Q> {
        if let Some(verdict) = self.known(&question) {
            shared.counters.hits.increment();
            return Outcome::Known(verdict);
        }
        shared.counters.misses.increment();
        self.expire(now, shared);
        if self.full(shared.limits.waiting) {
            return Outcome::Refused(Refusal::QueueFull);
        }
        let (waiter, receiver) = oneshot::channel();
        match self.place(question, waiter, now, shared) {
            Ok(()) => Outcome::Wait(receiver),
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    /// Takes the answer to a question of this lane in and wakes every flow that it covers.
    pub(super) fn answer(&mut self, answer: Answer, now: Instant, shared: &mut Shared) {
        let Some(asked) = self.in_flight.remove(&answer.id) else {
            return;
        };
        shared.asked.remove(&answer.id);
        let latency = now.saturating_duration_since(asked.asked_at);
        shared.counters.latency.observe(latency);
        if shared.recent.fresh(answer.generation, &answer.keys) {
            self.accept(asked, answer, shared);
        } else {
            shared.counters.stale.increment();
            self.repeat(asked, now, shared);
        }
        self.pump(now, shared);
    }

    /// Gives up questions that were not answered in time, so that they hold no place. Flows that came later and still
    /// wait ask anew.
    pub(super) fn expire(&mut self, now: Instant, shared: &mut Shared) {
        let timeout = shared.limits.question_timeout;
        let late = |asked: &Asked<Q>| now.saturating_duration_since(asked.asked_at) >= timeout;
        let ids = self.in_flight.iter();
        let expired: Vec<_> = ids.filter(|(_, it)| late(it)).map(|(id, _)| *id).collect();
        for id in expired {
            let Some(asked) = self.in_flight.remove(&id) else {
                continue;
            };
            shared.asked.remove(&id);
            self.repeat(asked, now, shared);
        }
        self.pump(now, shared);
    }

    /// Removes an entry that was computed before `generation`. Returns the keys that it read.
    pub(super) fn invalidate(&mut self, id: u64, generation: u64) -> Option<Vec<Arc<str>>> {
        let entry = self.cache.remove_older(id, generation)?;
        Some(entry.keys)
    }

    /// Empties the lane; the senders that go with it wake their flows.
    pub(super) fn clear(&mut self, shared: &mut Shared) {
        for (id, _) in self.in_flight.drain() {
            shared.asked.remove(&id);
        }
        for (id, entry) in self.cache.drain() {
            shared.entry_gone(id, &entry.keys);
        }
        self.queue.clear();
    }

    fn full(&mut self, bound: usize) -> bool {
        if self.waiting() < bound {
            return false;
        }
        self.queue.retain(|(_, waiter)| !waiter.is_closed());
        for asked in self.in_flight.values_mut() {
            asked.waiters.retain(|waiter| !waiter.is_closed());
        }
        self.waiting() >= bound
    }

    fn waiting(&self) -> usize {
        let asked = self.in_flight.values();
        self.queue.len() + asked.map(|asked| asked.waiters.len()).sum::<usize>()
    }

    /// Joins the same question under way, or starts it, or queues.
    fn place(
        &mut self,
        question: Q,
        waiter: Waiter<Q>,
        now: Instant,
        shared: &mut Shared,
    ) -> Result<(), Refusal> {
        if let Some(asked) = self.under_way(&question) {
            asked.waiters.push(waiter);
        } else if self.in_flight.len() >= self.in_flight_bound {
            self.queue.push_back((question, waiter));
        } else if self.bucket.take(now) {
            self.start(question, vec![waiter], 0, now, shared);
        } else {
            refuse(vec![waiter], Refusal::RateLimited);
            return Err(Refusal::RateLimited);
        }
        Ok(())
    }

    fn under_way(&mut self, question: &Q) -> Option<&mut Asked<Q>> {
        self.in_flight
            .values_mut()
            .find(|asked| asked.question == *question)
    }

    fn start(
        &mut self,
        question: Q,
        waiters: Vec<Waiter<Q>>,
        repeats: u32,
        now: Instant,
        shared: &mut Shared,
    ) {
        let place = Place {
            pod: question.pod().clone(),
            direction: Q::DIRECTION,
        };
        let id = shared.emit(place, question.clone().into_question());
        let asked = Asked {
            question,
            asked_at: now,
            repeats,
            waiters,
        };
        self.in_flight.insert(id, asked);
    }

    fn accept(&mut self, asked: Asked<Q>, answer: Answer, shared: &mut Shared) {
        let Some(verdict) = Q::verdict(answer.verdict) else {
            return refuse(asked.waiters, Refusal::InvalidAnswer);
        };
        let verdict = Arc::new(verdict);
        let entry = Entry::new(
            &asked.question,
            answer.mask,
            verdict.clone(),
            answer.generation,
            answer.keys,
        );
        wake(asked.waiters, &verdict);
        self.wake_covered(&entry);
        self.store(asked.question.pod(), entry, shared);
    }

    fn store(&mut self, pod: &Arc<str>, entry: Entry<Q>, shared: &mut Shared) {
        let place = Place {
            pod: pod.clone(),
            direction: Q::DIRECTION,
        };
        let id = shared.entry_added(&place, &entry.keys);
        for (gone, entry) in self.cache.insert(id, entry) {
            shared.entry_gone(gone, &entry.keys);
        }
    }

    /// Wakes the flows of other questions, under way or queued, that the entry answers too.
    fn wake_covered(&mut self, entry: &Entry<Q>) {
        for asked in self.in_flight.values_mut() {
            if entry.covers(&asked.question) {
                wake(std::mem::take(&mut asked.waiters), &entry.verdict);
            }
        }
        for (question, waiter) in std::mem::take(&mut self.queue) {
            if entry.covers(&question) {
                wake([waiter], &entry.verdict);
            } else {
                self.queue.push_back((question, waiter));
            }
        }
    }

    fn repeat(&mut self, mut asked: Asked<Q>, now: Instant, shared: &mut Shared) {
        asked.waiters.retain(|waiter| !waiter.is_closed());
        if asked.waiters.is_empty() {
            return;
        }
        if let Some(verdict) = self.known(&asked.question) {
            return wake(asked.waiters, &verdict);
        }
        if asked.repeats >= shared.limits.repeats {
            return refuse(asked.waiters, Refusal::Unstable);
        }
        self.start(
            asked.question,
            asked.waiters,
            asked.repeats + 1,
            now,
            shared,
        );
    }

    /// Starts queued questions while there is room; what the cache knows by now needs no question.
    fn pump(&mut self, now: Instant, shared: &mut Shared) {
        while self.in_flight.len() < self.in_flight_bound {
            let Some((question, waiter)) = self.queue.pop_front() else {
                return;
            };
            if waiter.is_closed() {
                continue;
            }
            match self.known(&question) {
                Some(verdict) => wake([waiter], &verdict),
                // A refusal reached the waiter already.
                None => drop(self.place(question, waiter, now, shared)),
            }
        }
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.cache.len()
    }
}

fn wake<V>(
    waiters: impl IntoIterator<Item = oneshot::Sender<Result<Arc<V>, Refusal>>>,
    verdict: &Arc<V>,
) {
    for waiter in waiters {
        // A flow that went away meanwhile needs no verdict.
        let _ = waiter.send(Ok(verdict.clone()));
    }
}

fn refuse<V>(waiters: Vec<oneshot::Sender<Result<Arc<V>, Refusal>>>, refusal: Refusal) {
    for waiter in waiters {
        let _ = waiter.send(Err(refusal));
    }
}
