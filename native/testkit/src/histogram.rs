//! Latencies in bounded memory: buckets that grow by 1/64, so a percentile is right within 1.6 %.

use std::time::Duration;

const SUB_BUCKETS: usize = 64;
const SUB_BITS: u32 = 6;

#[derive(Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; SUB_BUCKETS * 64],
            total: 0,
        }
    }
}

impl Histogram {
    pub fn record(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
    }

    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
    }

    /// Microseconds; 0 where nothing was recorded.
    pub fn percentile(&self, percent: f64) -> f64 {
        let rank = (self.total as f64 * percent / 100.0).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank && *count > 0 {
                return floor_of(index) as f64 / 1000.0;
            }
        }
        0.0
    }

    pub fn total(&self) -> u64 {
        self.total
    }
}

/// Below 64 every value has its own bucket; above, the six bits after the leading one choose.
fn bucket(nanos: u64) -> usize {
    if nanos < SUB_BUCKETS as u64 {
        return nanos as usize;
    }
    let exponent = 63 - nanos.leading_zeros();
    let shift = exponent - SUB_BITS;
    let sub = (nanos >> shift) as usize - SUB_BUCKETS;
    (shift as usize + 1) * SUB_BUCKETS + sub
}

fn floor_of(index: usize) -> u64 {
    if index < SUB_BUCKETS {
        return index as u64;
    }
    let shift = index / SUB_BUCKETS - 1;
    ((SUB_BUCKETS + index % SUB_BUCKETS) as u64) << shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_within_their_bucket() {
        let mut histogram = Histogram::default();
        for micros in 1..=1000 {
            histogram.record(Duration::from_micros(micros));
        }
        for (percent, expected) in [(50.0, 500.0), (99.0, 990.0), (100.0, 1000.0)] {
            let found = histogram.percentile(percent);
            assert!(
                (found - expected).abs() <= expected / 50.0,
                "p{percent}: {found}"
            );
        }
    }

    #[test]
    fn every_time_has_a_bucket() {
        let mut histogram = Histogram::default();
        for latency in [
            Duration::ZERO,
            Duration::from_nanos(63),
            Duration::from_nanos(64),
            Duration::MAX,
        ] {
            histogram.record(latency);
        }
        assert_eq!(histogram.total(), 4);
    }

    #[test]
    fn an_empty_histogram_says_zero() {
        assert!(Histogram::default().percentile(50.0) < f64::EPSILON);
    }
}
