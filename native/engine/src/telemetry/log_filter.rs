//! Which lines the access log gets. Asked on the log's own thread; what is left out has been counted like everything else.

use super::flow::ResponseFlags;
use super::log_line::LogRecord;
use crate::api::{AccessLogFilter, WantedOutcome};

/// What `sampling` is a part of.
const WHOLE: u64 = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Written,
    /// The conditions do not want it.
    Filtered,
    /// It went well, and others like it stand for it.
    NotSampled,
}

impl Default for AccessLogFilter {
    /// Everything.
    fn default() -> Self {
        Self {
            sampling: 10_000,
            outcome: WantedOutcome::Any,
            directions: Vec::new(),
            namespaces: Vec::new(),
        }
    }
}

impl AccessLogFilter {
    pub(super) fn fate(&self, record: &LogRecord) -> Fate {
        if !self.wants(record) {
            Fate::Filtered
        } else if record.end.error.is_some() || self.samples(record.flow) {
            Fate::Written
        } else {
            Fate::NotSampled
        }
    }

    fn wants(&self, record: &LogRecord) -> bool {
        let outcome = match self.outcome {
            WantedOutcome::Any => true,
            WantedOutcome::Errors => record.end.error.is_some(),
            WantedOutcome::Denied => record.end.response_flags == ResponseFlags::Deny,
        };
        let direction = record.reporter.direction();
        outcome
            && (self.directions.is_empty() || self.directions.contains(&direction))
            && (self.namespaces.is_empty() || self.names_an_end(record))
    }

    fn names_an_end(&self, record: &LogRecord) -> bool {
        let flow = &record.description;
        let ends = [&flow.source_workload, &flow.destination_workload];
        ends.into_iter()
            .flatten()
            .any(|workload| self.namespaces.contains(&workload.namespace))
    }

    /// By the flow and not by the line, so that both lines of a node-local join are there or neither.
    fn samples(&self, flow: u64) -> bool {
        scatter(flow) % WHOLE < u64::from(self.sampling)
    }
}

/// Neighbouring numbers get unlike ones: the finalizer of SplitMix64.
fn scatter(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_that_is_written_is_the_one_that_was_asked_for() {
        for sampling in [0_u16, 1, 100, 2_500, 10_000] {
            let filter = AccessLogFilter {
                sampling,
                ..AccessLogFilter::default()
            };
            let written = (0..100_000).filter(|flow| filter.samples(*flow)).count();
            let expected = usize::from(sampling) * 10;
            // Three standard deviations of a lottery with 100,000 tickets are at most 475.
            assert!(written.abs_diff(expected) <= 475, "{sampling}: {written}");
            if sampling == 0 || sampling == 10_000 {
                assert_eq!(written, expected);
            }
        }
    }
}
