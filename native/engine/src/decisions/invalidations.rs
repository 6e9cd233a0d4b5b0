use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// The invalidations of a recent window, to judge answers that were computed before them and arrive after.
#[derive(Debug)]
pub(super) struct Invalidations {
    recent: VecDeque<(Arc<str>, u64)>,
    latest: HashMap<Arc<str>, u64>,
    /// Generation of the newest invalidation that fell out of the window: of older answers nothing is known.
    forgotten: u64,
    bound: usize,
}

impl Invalidations {
    pub(super) fn new(bound: usize) -> Self {
        Self {
            recent: VecDeque::new(),
            latest: HashMap::new(),
            forgotten: 0,
            bound,
        }
    }

    pub(super) fn record(&mut self, generation: u64, keys: &[Arc<str>]) {
        for key in keys {
            self.recent.push_back((key.clone(), generation));
            let latest = self.latest.entry(key.clone()).or_insert(generation);
            *latest = generation.max(*latest);
        }
        while self.recent.len() > self.bound {
            self.forget_oldest();
        }
    }

    /// No invalidation later than `generation` touched one of `keys`, as far as the window reaches.
    pub(super) fn fresh(&self, generation: u64, keys: &[Arc<str>]) -> bool {
        let touched = |key| {
            self.latest
                .get(key)
                .is_some_and(|latest| *latest > generation)
        };
        generation >= self.forgotten && !keys.iter().any(touched)
    }

    fn forget_oldest(&mut self) {
        let Some((key, generation)) = self.recent.pop_front() else {
            return;
        };
        self.forgotten = self.forgotten.max(generation);
        if self.latest.get(&key) == Some(&generation) {
            self.latest.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Invalidations;

    fn keys(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    #[test]
    fn an_answer_is_stale_when_a_later_invalidation_touched_a_key() {
        let mut window = Invalidations::new(10);
        window.record(7, &keys(&["a"]));
        assert!(!window.fresh(6, &keys(&["b", "a"])));
        assert!(window.fresh(7, &keys(&["a"])));
        assert!(window.fresh(6, &keys(&["b"])));
    }

    #[test]
    fn invalidations_that_arrive_out_of_order_keep_the_latest_generation() {
        let mut window = Invalidations::new(10);
        window.record(9, &keys(&["a"]));
        window.record(8, &keys(&["a"]));
        assert!(!window.fresh(8, &keys(&["a"])));
    }

    #[test]
    fn an_answer_from_before_the_window_is_stale() {
        let mut window = Invalidations::new(2);
        window.record(5, &keys(&["a"]));
        window.record(6, &keys(&["b", "c"]));
        assert!(!window.fresh(4, &keys(&["z"])));
        assert!(window.fresh(5, &keys(&["z"])));
    }
}
