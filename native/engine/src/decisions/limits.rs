use std::time::Duration;

/// Bounds of the decision cache. All but `question_timeout` hold per pod and direction, so that one pod's excess is its own.
#[derive(Clone, Debug)]
pub struct DecisionLimits {
    /// How long a flow waits for its verdict, all repeats included.
    pub question_timeout: Duration,
    /// Different outbound questions of one pod under way at once; its other flows wait for what those answers cover.
    pub outbound_in_flight: usize,
    /// Likewise for inbound.
    pub inbound_in_flight: usize,
    /// Flows that wait, both for an answer and for their question to be asked.
    pub waiting: usize,
    /// Cached verdicts; the least used one gives way.
    pub entries: usize,
    /// Questions a second in the long run.
    pub questions_per_second: u32,
    /// Questions at once after a quiet time.
    pub burst: u32,
    /// How often one question is asked again because its answer had become stale.
    pub repeats: u32,
    /// Keys of recent invalidations that are remembered; an answer from before that window is asked again.
    pub remembered_keys: usize,
}

impl Default for DecisionLimits {
    fn default() -> Self {
        Self {
            question_timeout: Duration::from_secs(5),
            outbound_in_flight: 4,
            inbound_in_flight: 8,
            waiting: 2048,
            entries: 4096,
            questions_per_second: 2000,
            burst: 4096,
            repeats: 4,
            remembered_keys: 65_536,
        }
    }
}
