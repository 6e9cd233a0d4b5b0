use std::collections::HashMap;
use std::sync::Arc;

use super::DecisionLimits;
use super::cache::EntryId;
use super::counters::Counters;
use super::index::{KeyIndex, Place};
use super::invalidations::Invalidations;
use crate::api::{Question, QuestionId};

/// What the lanes of all pods have in common.
pub(super) struct Shared {
    pub(super) limits: DecisionLimits,
    pub(super) counters: Arc<Counters>,
    pub(super) recent: Invalidations,
    pub(super) index: KeyIndex,
    /// Questions under way, to find their lane.
    pub(super) asked: HashMap<QuestionId, Place>,
    /// Questions to emit once the lock is free.
    outbox: Vec<(QuestionId, Question)>,
    last_id: u64,
}

impl Shared {
    pub(super) fn new(limits: DecisionLimits, counters: Arc<Counters>) -> Self {
        Self {
            recent: Invalidations::new(limits.remembered_keys),
            limits,
            counters,
            index: KeyIndex::default(),
            asked: HashMap::new(),
            outbox: Vec::new(),
            last_id: 0,
        }
    }

    pub(super) fn emit(&mut self, place: Place, question: Question) -> QuestionId {
        let id = self.next_id();
        self.asked.insert(id, place);
        self.outbox.push((id, question));
        self.counters.questions.increment();
        id
    }

    pub(super) fn take_outbox(&mut self) -> Vec<(QuestionId, Question)> {
        std::mem::take(&mut self.outbox)
    }

    pub(super) fn entry_added(&mut self, place: &Place, keys: &[Arc<str>]) -> EntryId {
        let id = self.next_id();
        self.index.insert(id, place, keys);
        self.counters.entries.add(1);
        id
    }

    pub(super) fn entry_gone(&mut self, id: EntryId, keys: &[Arc<str>]) {
        self.index.remove(id, keys);
        self.counters.entries.add(-1);
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}
