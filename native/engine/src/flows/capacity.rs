//! Who may have how many flows: what one pod opens must not take the descriptors of all others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::drain::{Drain, Phase, Watcher};

/// Open flows and tunnels of one pod, over all threads: beyond that, only this pod's new ones are refused.
const MOST: usize = 16_384;
/// What every pod may have, however much the others hold.
const GRANTED: usize = 256;
/// Sockets of all pods' flows and tunnels together, against the descriptors that the process may have.
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
    /// Leaves an eighth of the descriptors to what is granted, and to everything that is no flow.
    pub fn set_descriptors(&self, limit: u64) {
        let sockets = usize::try_from(limit / 8 * 7).unwrap_or(usize::MAX);
        self.common.store(sockets, Ordering::Relaxed);
    }

    fn is_common(&self) -> bool {
        self.open.load(Ordering::Relaxed) < self.common.load(Ordering::Relaxed)
    }

    /// A place for one more flow of the pod that drains by `drain`, with one socket.
    pub fn admit(self: &Arc<Self>, drain: &Arc<Drain>) -> Option<Place> {
        let own = drain.open();
        if own >= MOST || (own >= GRANTED && !self.is_common()) {
            return None;
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        Some(Place {
            _watcher: drain.watch(),
            drain: drain.clone(),
            capacity: self.clone(),
            sockets: 1,
        })
    }
}

/// A flow's or tunnel's place; the pod's drain waits until it is dropped.
pub struct Place {
    _watcher: Watcher,
    drain: Arc<Drain>,
    capacity: Arc<Capacity>,
    sockets: usize,
}

impl Place {
    /// Takes account of one more socket, where there is room. A stream of a tunnel needs none of its own, and the second
    /// socket of a join is the neighbour's.
    pub fn widen(&mut self) -> bool {
        let granted = self.drain.open() <= GRANTED || self.capacity.is_common();
        if granted {
            self.capacity.open.fetch_add(1, Ordering::Relaxed);
            self.sockets += 1;
        }
        granted
    }

    /// The pod's flows have been cut.
    pub fn is_cut(&self) -> bool {
        self.drain.phase() == Phase::Closed
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.capacity
            .open
            .fetch_sub(self.sockets, Ordering::Relaxed);
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
        assert_eq!(taken.len(), 3_584);
        assert_eq!(places(&capacity, &modest, MOST).len(), GRANTED);
    }

    #[test]
    fn ten_thousand_tunnelled_or_eight_thousand_joined_connections_fit_the_usual_limit() {
        let capacity = Arc::new(Capacity::default());
        capacity.set_descriptors(20_000);
        let (client, server) = (Drain::new(|| ()), Drain::new(|| ()));
        assert_eq!(places(&capacity, &client, 10_000).len(), 10_000);
        let joined = [
            places(&capacity, &client, 8_000),
            places(&capacity, &server, 8_000),
        ];
        assert_eq!(joined.map(|places| places.len()), [8_000, 8_000]);
    }

    #[test]
    fn a_place_is_given_back() {
        let capacity = Arc::new(Capacity::default());
        capacity.set_descriptors(4_096);
        let drain = Drain::new(|| ());
        for _ in 0..3 {
            let mut places = places(&capacity, &drain, 1_792);
            assert!(places.iter_mut().all(Place::widen));
            assert!(capacity.admit(&drain).is_none());
        }
        assert_eq!(drain.open(), 0);
    }
}
