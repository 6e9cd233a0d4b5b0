//! Draining as an object: a trigger, watchers that keep it waiting, a force.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Serving,
    /// Nothing new is taken in; what is open may end.
    Draining,
    /// What is open is cut.
    Closed,
}

type OnIdle = Box<dyn Fn() + Send + Sync>;

/// Shared by all threads.
pub struct Drain {
    phase: watch::Sender<Phase>,
    open: AtomicUsize,
    on_idle: OnIdle,
}

impl Drain {
    /// `on_idle` is called, on any thread, whenever nothing is open and the drain has been triggered; it must not block.
    pub fn new(on_idle: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Drain {
            phase: watch::Sender::new(Phase::Serving),
            open: AtomicUsize::new(0),
            on_idle: Box::new(on_idle),
        })
    }

    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Moves on; never back.
    pub fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|held| {
            let later = phase > *held;
            *held = (*held).max(phase);
            later
        });
        self.tell_if_idle();
    }

    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Something that the drain waits for, until the watcher is dropped.
    pub fn watch(self: &Arc<Self>) -> Watcher {
        self.open.fetch_add(1, Ordering::SeqCst);
        Watcher {
            drain: self.clone(),
        }
    }

    /// Resolves at `phase` or a later one.
    pub async fn reached(&self, phase: Phase) {
        // The sender lives in self, so an error cannot come while self is borrowed.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }

    /// A watcher that ends and a trigger that comes at once may both call: the owner takes the second call for nothing.
    fn tell_if_idle(&self) {
        if self.phase() != Phase::Serving && self.open() == 0 {
            (self.on_idle)();
        }
    }
}

pub struct Watcher {
    drain: Arc<Drain>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if self.drain.open.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.drain.tell_if_idle();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted() -> (Arc<Drain>, Arc<AtomicUsize>) {
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = calls.clone();
        (
            Drain::new(move || {
                counter.fetch_add(1, Ordering::SeqCst);
            }),
            calls,
        )
    }

    #[test]
    fn an_untriggered_drain_says_nothing() {
        let (drain, calls) = counted();
        drop(drain.watch());
        assert_eq!(calls.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_triggered_drain_waits_for_its_last_watcher() {
        let (drain, calls) = counted();
        let watcher = drain.watch();
        drain.advance(Phase::Draining);
        assert_eq!(calls.load(Ordering::SeqCst), 0);
        drop(watcher);
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_phase_never_goes_back() {
        let (drain, _) = counted();
        drain.advance(Phase::Closed);
        drain.advance(Phase::Draining);
        assert_eq!(drain.phase(), Phase::Closed);
    }

    #[tokio::test]
    async fn a_later_phase_resolves_an_earlier_wait() {
        let (drain, _) = counted();
        drain.advance(Phase::Closed);
        drain.reached(Phase::Draining).await;
    }
}
