//! Counters of the engine's other parts: registered once by name and fixed labels, then bare atomics.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    pub fn increment(&self) {
        self.add(1);
    }

    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    pub fn add(&self, difference: i64) {
        self.0.fetch_add(difference, Ordering::Relaxed);
    }

    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Durations in seconds, with buckets given at registration.
#[derive(Clone, Debug)]
pub struct Histogram {}

impl Histogram {
    pub fn observe(&self, _duration: Duration) {
        unimplemented!()
    }
}

/// Families by name. Registering the same name and labels again gives the same series.
#[derive(Debug, Default)]
pub struct Registry {}

impl Registry {
    /// `name` without `_total`, which the text format's writer adds. Labels are fixed: never what a peer could choose.
    #[must_use]
    pub fn counter(&self, _name: &str, _help: &str, _labels: &[(&str, &str)]) -> Counter {
        unimplemented!()
    }

    #[must_use]
    pub fn gauge(&self, _name: &str, _help: &str, _labels: &[(&str, &str)]) -> Gauge {
        unimplemented!()
    }

    /// `bounds` are the buckets' upper ends in seconds, ascending; `+Inf` is added.
    #[must_use]
    pub fn histogram(
        &self,
        _name: &str,
        _help: &str,
        _labels: &[(&str, &str)],
        _bounds: &[f64],
    ) -> Histogram {
        unimplemented!()
    }
}
