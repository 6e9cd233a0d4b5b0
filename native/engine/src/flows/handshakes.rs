//! Handshakes under way at one pod's HBONE listeners, over all threads. Nobody is known yet, so a bound alone would let one
//! peer that never ends its handshakes keep all others out.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::telemetry::CancelHandle;

struct Waiting {
    source: IpAddr,
    give_up: CancelHandle,
}

#[derive(Default)]
struct Rows {
    last_id: u64,
    /// By id: in order of arrival.
    waiting: BTreeMap<u64, Waiting>,
    of_source: HashMap<IpAddr, usize>,
}

impl Rows {
    fn remove(&mut self, id: u64) -> Option<Waiting> {
        let gone = self.waiting.remove(&id)?;
        if let Some(count) = self.of_source.get_mut(&gone.source) {
            *count -= 1;
            if *count == 0 {
                self.of_source.remove(&gone.source);
            }
        }
        Some(gone)
    }

    /// The oldest one of a source that has as many as any.
    fn next_to_give_up(&self) -> Option<u64> {
        let most = self.of_source.values().max()?;
        let greedy = |(_, row): &(&u64, &Waiting)| self.of_source.get(&row.source) == Some(most);
        self.waiting.iter().find(greedy).map(|(id, _)| *id)
    }
}

pub struct Handshakes {
    bound: usize,
    rows: Mutex<Rows>,
}

impl Handshakes {
    pub fn new(bound: usize) -> Arc<Self> {
        Arc::new(Handshakes {
            bound,
            rows: Mutex::default(),
        })
    }

    /// A newcomer always comes in; where there is no room, the peer with the most handshakes loses its oldest one.
    pub fn enter(self: &Arc<Self>, source: IpAddr) -> Handshake {
        let give_up = CancelHandle::new();
        let mut rows = self.lock();
        let full = rows.waiting.len() >= self.bound;
        let evicted = full.then(|| rows.next_to_give_up()).flatten();
        let evicted = evicted.and_then(|id| rows.remove(id));
        rows.last_id += 1;
        let id = rows.last_id;
        *rows.of_source.entry(source).or_default() += 1;
        let waiting = Waiting {
            source,
            give_up: give_up.clone(),
        };
        rows.waiting.insert(id, waiting);
        drop(rows);
        // Outside the lock: it wakes a task.
        if let Some(evicted) = evicted {
            evicted.give_up.cancel("too many handshakes");
        }
        Handshake {
            id,
            give_up,
            all: self.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One handshake's place, until it is dropped.
pub struct Handshake {
    id: u64,
    give_up: CancelHandle,
    all: Arc<Handshakes>,
}

impl Handshake {
    /// Does `work`; `None` when others needed the place.
    pub async fn while_there_is_room<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            _ = self.give_up.cancelled() => None,
        }
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.all.lock().remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn given_up(handshakes: &[Handshake]) -> Vec<usize> {
        let ids = handshakes.iter().enumerate();
        ids.filter(|(_, handshake)| handshake.give_up.reason().is_some())
            .map(|(index, _)| index)
            .collect()
    }

    #[test]
    fn a_greedy_peer_makes_room_for_the_others() {
        let all = Handshakes::new(4);
        let held: Vec<_> = [1, 2, 2, 2, 3, 4]
            .map(|last| all.enter(address(last)))
            .into();
        assert_eq!(given_up(&held), [1, 2]);
    }

    #[test]
    fn among_equals_the_oldest_makes_room() {
        let all = Handshakes::new(2);
        let held: Vec<_> = [1, 2, 3].map(|last| all.enter(address(last))).into();
        assert_eq!(given_up(&held), [0]);
    }

    #[test]
    fn a_greedy_peer_that_goes_on_only_loses_its_own() {
        let all = Handshakes::new(8);
        let honest: Vec<_> = (1..=3).map(|last| all.enter(address(last))).collect();
        let greedy: Vec<_> = (0..1000).map(|_| all.enter(address(9))).collect();
        assert!(given_up(&honest).is_empty());
        assert_eq!(given_up(&greedy).len(), 995);
    }

    #[test]
    fn an_ended_handshake_leaves_nothing() {
        let all = Handshakes::new(2);
        drop([1, 1, 1].map(|last| all.enter(address(last))));
        let rows = all.lock();
        assert!(rows.waiting.is_empty() && rows.of_source.is_empty());
    }

    #[tokio::test]
    async fn the_work_of_one_that_is_given_up_ends() {
        let all = Handshakes::new(1);
        let first = all.enter(address(1));
        let second = all.enter(address(2));
        let never = std::future::pending::<()>();
        assert_eq!(first.while_there_is_room(never).await, None);
        assert_eq!(second.while_there_is_room(async { 7 }).await, Some(7));
    }
}
