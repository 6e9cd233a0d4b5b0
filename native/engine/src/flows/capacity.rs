//! Who may have how many flows: what one pod opens must not take the descriptors of all others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::drain::{Drain, Phase, Watcher};

/// Open flows and tunnels of one pod, over all threads: beyond that, only this pod's new ones are refused.
const MOST: usize = 16_384;
/// What every pod may have, however much the others hold.
const GRANTED: usize = 256;
/// A flow is two sockets at most.
const DESCRIPTORS: u64 = 2;

/// Flows and tunnels of all pods together, against the descriptors that the process may have.
pub struct Capacity {
    /// Beyond it only what is granted to everybody.
    common: AtomicUsize,
    open: AtomicUsize,
}

impl Default for Capacity {
    fn default() -> Self {
        Capacity {
            common: AtomicUsize::new(usize::MAX),
            open: AtomicUsize::new(0),
        }
    }
}

impl Capacity {
    /// Leaves a quarter of the descriptors to what is granted, and to everything that is no flow.
    pub fn set_descriptors(&self, limit: u64) {
        let flows = limit / DESCRIPTORS / 4 * 3;
        let flows = usize::try_from(flows).unwrap_or(usize::MAX);
        self.common.store(flows, Ordering::Relaxed);
    }

    /// A place for one more flow of the pod that drains by `drain`.
    pub fn admit(self: &Arc<Self>, drain: &Arc<Drain>) -> Option<Place> {
        let own = drain.open();
        let common = self.open.load(Ordering::Relaxed) < self.common.load(Ordering::Relaxed);
        if own >= MOST || (own >= GRANTED && !common) {
            return None;
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        Some(Place {
            _watcher: drain.watch(),
            drain: drain.clone(),
            capacity: self.clone(),
        })
    }
}

/// A flow's or tunnel's place; the pod's drain waits until it is dropped.
pub struct Place {
    _watcher: Watcher,
    drain: Arc<Drain>,
    capacity: Arc<Capacity>,
}

impl Place {
    /// The pod's flows have been cut.
    pub fn is_cut(&self) -> bool {
        self.drain.phase() == Phase::Closed
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.capacity.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a flow holds while it is open: a place at its pod, and at the neighbour that it is joined to.
pub struct Places {
    pub own: Place,
    pub neighbour: Option<Place>,
}

impl Places {
    pub fn is_cut(&self) -> bool {
        self.own.is_cut() || self.neighbour.as_ref().is_some_and(Place::is_cut)
    }
}

impl From<Place> for Places {
    fn from(own: Place) -> Self {
        Places {
            own,
            neighbour: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(capacity: &Arc<Capacity>, drain: &Arc<Drain>, wanted: usize) -> Vec<Place> {
        (0..wanted).map_while(|_| capacity.admit(drain)).collect()
    }

    #[test]
    fn a_greedy_pod_leaves_the_others_what_is_granted() {
        let capacity = Arc::new(Capacity::default());
        capacity.set_descriptors(4_096);
        let (greedy, modest) = (Drain::new(|| ()), Drain::new(|| ()));
        let taken = places(&capacity, &greedy, MOST);
        assert_eq!(taken.len(), 1_536);
        assert_eq!(places(&capacity, &modest, MOST).len(), GRANTED);
    }

    #[test]
    fn a_place_is_given_back() {
        let capacity = Arc::new(Capacity::default());
        capacity.set_descriptors(4_096);
        let drain = Drain::new(|| ());
        for _ in 0..3 {
            assert_eq!(places(&capacity, &drain, MOST).len(), 1_536);
        }
        assert_eq!(drain.open(), 0);
    }
}
