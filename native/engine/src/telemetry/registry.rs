//! Counters of the engine's parts: registered once by name and labels, then bare atomics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::histogram::Histogram;
use super::text::{labels_text, write_header, write_sample};

/// Series of one family; whoever registers more gets the one whose label values are `other`.
const FAMILY_BOUND: usize = 1024;

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

#[derive(Clone, Debug)]
enum Series {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

impl Series {
    fn kind(&self) -> &'static str {
        match self {
            Self::Counter(_) => "counter",
            Self::Gauge(_) => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }

    fn write(&self, out: &mut String, name: &str, labels: &str) {
        match self {
            Self::Counter(counter) => write_sample(out, name, labels, counter.get()),
            Self::Gauge(gauge) => write_sample(out, name, labels, gauge.get()),
            Self::Histogram(histogram) => histogram.write(out, name, labels),
        }
    }
}

#[derive(Debug)]
struct Family {
    help: String,
    series: BTreeMap<String, Series>,
}

/// Families by name. Registering the same name and labels again gives the same series.
#[derive(Debug, Default)]
pub struct Registry {
    families: Mutex<BTreeMap<String, Family>>,
}

impl Registry {
    /// `name` without `_total`, which is added here. Label values come from a small set, never from a peer; over 1024
    /// series a family counts the rest as `other`.
    #[must_use]
    pub fn counter(&self, name: &str, help: &str, labels: &[(&str, &str)]) -> Counter {
        let name = format!("{name}_total");
        let new = || Series::Counter(Counter::default());
        match self.series(&name, help, labels, &new) {
            Series::Counter(counter) => counter,
            Series::Gauge(_) | Series::Histogram(_) => Counter::default(),
        }
    }

    #[must_use]
    pub fn gauge(&self, name: &str, help: &str, labels: &[(&str, &str)]) -> Gauge {
        let new = || Series::Gauge(Gauge::default());
        match self.series(name, help, labels, &new) {
            Series::Gauge(gauge) => gauge,
            Series::Counter(_) | Series::Histogram(_) => Gauge::default(),
        }
    }

    /// `bounds` are the buckets' upper ends in seconds, ascending; `+Inf` is added.
    #[must_use]
    pub fn histogram(
        &self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        bounds: &[f64],
    ) -> Histogram {
        let new = || Series::Histogram(Histogram::new(bounds));
        match self.series(name, help, labels, &new) {
            Series::Histogram(histogram) => histogram,
            Series::Counter(_) | Series::Gauge(_) => Histogram::new(bounds),
        }
    }

    pub(super) fn render(&self, out: &mut String) {
        let families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, family) in families.iter() {
            let kind = family
                .series
                .values()
                .next()
                .map_or("untyped", Series::kind);
            write_header(out, name, kind, &family.help);
            for (labels, series) in &family.series {
                series.write(out, name, labels);
            }
        }
    }

    fn series(
        &self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        new: &dyn Fn() -> Series,
    ) -> Series {
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let family = families.entry(name.to_owned()).or_insert_with(|| Family {
            help: help.to_owned(),
            series: BTreeMap::new(),
        });
        let key = family.key(labels);
        family.series.entry(key).or_insert_with(new).clone()
    }
}

impl Family {
    fn key(&self, labels: &[(&str, &str)]) -> String {
        let key = labels_text(labels);
        if self.series.len() < FAMILY_BOUND || self.series.contains_key(&key) {
            return key;
        }
        let others: Vec<_> = labels.iter().map(|(name, _)| (*name, "other")).collect();
        labels_text(&others)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{FAMILY_BOUND, Registry};

    fn render(registry: &Registry) -> String {
        let mut out = String::new();
        registry.render(&mut out);
        out
    }

    #[test]
    fn the_same_name_and_labels_are_the_same_series() {
        let registry = Registry::default();
        registry.counter("ambit_x", "X.", &[("a", "1")]).increment();
        registry.counter("ambit_x", "X.", &[("a", "1")]).add(2);
        registry.counter("ambit_x", "X.", &[("a", "2")]).increment();
        assert_eq!(
            render(&registry),
            "# HELP ambit_x_total X.\n# TYPE ambit_x_total counter\nambit_x_total{a=\"1\"} 3\nambit_x_total{a=\"2\"} 1\n"
        );
    }

    #[test]
    fn a_gauge_goes_up_and_down() {
        let registry = Registry::default();
        let gauge = registry.gauge("ambit_g", "G.", &[]);
        gauge.add(3);
        gauge.add(-1);
        assert!(render(&registry).ends_with("ambit_g 2\n"));
    }

    #[test]
    fn a_histogram_is_cumulative() {
        let registry = Registry::default();
        let histogram = registry.histogram("ambit_h", "H.", &[], &[0.001, 0.1]);
        histogram.observe(Duration::from_micros(500));
        histogram.observe(Duration::from_millis(50));
        histogram.observe(Duration::from_secs(2));
        let text = render(&registry);
        assert!(text.contains("ambit_h_bucket{le=\"0.001\"} 1\n"), "{text}");
        assert!(text.contains("ambit_h_bucket{le=\"0.1\"} 2\n"));
        assert!(text.contains("ambit_h_bucket{le=\"+Inf\"} 3\n"));
        assert!(text.contains("ambit_h_sum 2.0505\nambit_h_count 3\n"));
    }

    #[test]
    fn a_family_is_bounded() {
        let registry = Registry::default();
        for number in 0..FAMILY_BOUND + 10 {
            let label = number.to_string();
            registry
                .counter("ambit_b", "B.", &[("n", &label)])
                .increment();
        }
        let text = render(&registry);
        assert_eq!(text.lines().count(), 2 + FAMILY_BOUND + 1);
        assert!(text.contains("ambit_b_total{n=\"other\"} 10\n"));
    }
}
