//! The cached verdicts of one pod and direction: one hash map per mask that was seen, as in a software switch.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::question::Kind;
use crate::api::AnswerMask;

pub(super) type EntryId = u64;

pub(super) struct Entry<Q: Kind> {
    pub(super) mask: AnswerMask,
    /// Already masked.
    pub(super) question: Q,
    pub(super) verdict: Arc<Q::Verdict>,
    pub(super) generation: u64,
    pub(super) keys: Vec<Arc<str>>,
    used: bool,
}

impl<Q: Kind> Entry<Q> {
    pub(super) fn new(
        question: &Q,
        mask: AnswerMask,
        verdict: Arc<Q::Verdict>,
        generation: u64,
        keys: Vec<Arc<str>>,
    ) -> Self {
        Self {
            mask,
            question: question.masked(mask),
            verdict,
            generation,
            keys,
            used: false,
        }
    }

    pub(super) fn covers(&self, question: &Q) -> bool {
        question.masked(self.mask) == self.question
    }
}

struct Table<Q> {
    mask: AnswerMask,
    entries: HashMap<Q, EntryId>,
}

pub(super) struct Cache<Q: Kind> {
    tables: Vec<Table<Q>>,
    entries: HashMap<EntryId, Entry<Q>>,
    /// Insertion order for the second-chance eviction; may name entries that are gone.
    order: VecDeque<EntryId>,
    bound: usize,
}

impl<Q: Kind> Cache<Q> {
    pub(super) fn new(bound: usize) -> Self {
        Self {
            tables: Vec::new(),
            entries: HashMap::new(),
            order: VecDeque::new(),
            bound: bound.max(1),
        }
    }

    pub(super) fn get(&mut self, question: &Q) -> Option<Arc<Q::Verdict>> {
        let find = |table: &Table<Q>| table.entries.get(&question.masked(table.mask)).copied();
        let id = self.tables.iter().find_map(find)?;
        let entry = self.entries.get_mut(&id)?;
        entry.used = true;
        Some(entry.verdict.clone())
    }

    /// Returns the entries that had to give way: the one for the same masked question, and the evicted.
    pub(super) fn insert(&mut self, id: EntryId, entry: Entry<Q>) -> Vec<(EntryId, Entry<Q>)> {
        let replaced = self.table(entry.mask).insert(entry.question.clone(), id);
        let mut gone: Vec<_> = replaced
            .and_then(|old| Some((old, self.entries.remove(&old)?)))
            .into_iter()
            .collect();
        self.entries.insert(id, entry);
        self.order.push_back(id);
        while self.entries.len() > self.bound {
            gone.extend(self.evict());
        }
        self.compact();
        gone
    }

    /// Removes the entry if it was computed before `generation`.
    pub(super) fn remove_older(&mut self, id: EntryId, generation: u64) -> Option<Entry<Q>> {
        let older = self.entries.get(&id)?.generation < generation;
        if older { self.remove(id) } else { None }
    }

    pub(super) fn drain(&mut self) -> Vec<(EntryId, Entry<Q>)> {
        self.tables.clear();
        self.order.clear();
        self.entries.drain().collect()
    }

    fn table(&mut self, mask: AnswerMask) -> &mut HashMap<Q, EntryId> {
        let position = self.tables.iter().position(|table| table.mask == mask);
        let index = position.unwrap_or_else(|| {
            self.tables.push(Table {
                mask,
                entries: HashMap::new(),
            });
            self.tables.len() - 1
        });
        &mut self.tables[index].entries
    }

    fn remove(&mut self, id: EntryId) -> Option<Entry<Q>> {
        let entry = self.entries.remove(&id)?;
        let table = self.table(entry.mask);
        table.remove(&entry.question);
        if table.is_empty() {
            self.tables.retain(|table| !table.entries.is_empty());
        }
        Some(entry)
    }

    /// Second chance: an entry used since it was last looked at goes to the back instead.
    fn evict(&mut self) -> Option<(EntryId, Entry<Q>)> {
        while let Some(id) = self.order.pop_front() {
            match self.entries.get_mut(&id) {
                None => {}
                Some(entry) if entry.used => {
                    entry.used = false;
                    self.order.push_back(id);
                }
                Some(_) => return self.remove(id).map(|entry| (id, entry)),
            }
        }
        None
    }

    /// Invalidated entries leave their ids in the order; without this they would pile up.
    fn compact(&mut self) {
        if self.order.len() > 2 * self.entries.len() + 64 {
            self.order.retain(|id| self.entries.contains_key(id));
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
