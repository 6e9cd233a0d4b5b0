/// Why a flow got no verdict. The reason is a stable code, used in metrics and in the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.reason())]
pub enum Refusal {
    /// No answer came in time.
    Timeout,
    /// Too many flows of this pod wait already.
    QueueFull,
    /// This pod asks new kinds of questions faster than it may.
    RateLimited,
    /// The answer was stale each time it was asked for.
    Unstable,
    /// The answer did not fit the question.
    InvalidAnswer,
    /// The pod was removed while the flow waited.
    PodRemoved,
}

impl Refusal {
    pub const ALL: [Self; 6] = [
        Self::Timeout,
        Self::QueueFull,
        Self::RateLimited,
        Self::Unstable,
        Self::InvalidAnswer,
        Self::PodRemoved,
    ];

    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Timeout => "decision_timeout",
            Self::QueueFull => "decision_queue_full",
            Self::RateLimited => "decision_rate_limited",
            Self::Unstable => "decision_unstable",
            Self::InvalidAnswer => "decision_invalid",
            Self::PodRemoved => "pod_removed",
        }
    }
}
