//! A bound on how much of one kind a pod may have under way at once, over all threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ambit_intercept::sockets::raise_file_limit;

/// Share of the process's descriptors that one pod's unsettled flows may hold, two a flow.
const SHARE: u64 = 16;
const FEWEST: usize = 128;
const MOST: usize = 4096;

pub struct Gate {
    bound: usize,
    inside: AtomicUsize,
}

impl Gate {
    pub fn new(bound: usize) -> Arc<Self> {
        Arc::new(Gate {
            bound,
            inside: AtomicUsize::new(0),
        })
    }

    /// For flows that still look for their way: each waits up to the connect timeout for an address that does not answer,
    /// and a pod that scans must not use up the descriptors that the others' flows need.
    pub fn for_unsettled() -> Arc<Self> {
        let limit = raise_file_limit().unwrap_or_default() / SHARE;
        Self::new(usize::try_from(limit).unwrap_or(MOST).clamp(FEWEST, MOST))
    }

    pub fn enter(self: &Arc<Self>) -> Option<Pass> {
        let before = self.inside.fetch_add(1, Ordering::Relaxed);
        let pass = Pass(self.clone());
        (before < self.bound).then_some(pass)
    }
}

/// A place inside, until it is dropped.
pub struct Pass(Arc<Gate>);

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lets_in_as_many_as_it_is_told_and_more_when_they_leave() {
        let gate = Gate::new(2);
        let inside = [gate.enter(), gate.enter()];
        assert!(inside.iter().all(Option::is_some));
        assert!(gate.enter().is_none());
        drop(inside);
        assert!(gate.enter().is_some());
    }
}
