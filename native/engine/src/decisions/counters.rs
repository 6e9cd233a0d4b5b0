use super::Refusal;
use crate::telemetry::{Counter, Gauge, Histogram, Registry};

/// Upper ends of the upcall latency's buckets, in seconds: an idle loop answers in tens of microseconds, a busy one in seconds.
const LATENCY_BOUNDS: [f64; 11] = [
    0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0,
];

pub(super) struct Counters {
    pub(super) hits: Counter,
    pub(super) misses: Counter,
    pub(super) questions: Counter,
    pub(super) answers: Counter,
    pub(super) stale: Counter,
    pub(super) unknown: Counter,
    pub(super) invalidated: Counter,
    pub(super) entries: Gauge,
    pub(super) latency: Histogram,
    refused: [Counter; Refusal::ALL.len()],
}

impl Counters {
    pub(super) fn new(registry: &Registry) -> Self {
        let counter = |name, help| registry.counter(name, help, &[]);
        Self {
            hits: counter(
                "ambit_decision_cache_hits",
                "Flows whose verdict was cached.",
            ),
            misses: counter(
                "ambit_decision_cache_misses",
                "Flows that had to wait for a verdict.",
            ),
            questions: counter(
                "ambit_decision_questions",
                "Questions asked of the decision tier, repeats included.",
            ),
            answers: counter(
                "ambit_decision_answers",
                "Answers received from the decision tier.",
            ),
            stale: counter(
                "ambit_decision_stale_answers",
                "Answers dropped because a later change touched what they had read.",
            ),
            unknown: counter(
                "ambit_decision_unknown_answers",
                "Answers to questions that nobody waits for any more.",
            ),
            invalidated: counter(
                "ambit_decision_cache_invalidated",
                "Cached verdicts dropped because a change touched what they had read.",
            ),
            entries: registry.gauge("ambit_decision_cache_entries", "Cached verdicts.", &[]),
            latency: registry.histogram(
                "ambit_decision_latency_seconds",
                "From asking a question to receiving its answer.",
                &[],
                &LATENCY_BOUNDS,
            ),
            refused: Refusal::ALL.map(|refusal| {
                registry.counter(
                    "ambit_decision_refused",
                    "Flows closed because they got no verdict.",
                    &[("reason", refusal.reason())],
                )
            }),
        }
    }

    pub(super) fn refused(&self, refusal: Refusal) {
        self.refused[refusal as usize].increment();
    }
}
