//! The flow cache and its upcalls: what a decision was, for how many flows it holds, and when it stops holding.

mod limits;
mod refusal;

use std::sync::Arc;

use crate::api::{
    Answer, EventSink, InboundQuestion, InboundVerdict, OutboundQuestion, OutboundVerdict,
};
use crate::telemetry::Registry;

pub use limits::DecisionLimits;
pub use refusal::Refusal;

/// The cache of decisions and the questions under way. One for the whole engine; every thread asks it.
pub struct Decisions {}

impl Decisions {
    /// Questions leave through `sink`; counters are registered with `registry` under `ambit_decision_`.
    #[must_use]
    pub fn new(
        _sink: Arc<dyn EventSink>,
        _limits: DecisionLimits,
        _registry: &Registry,
    ) -> Arc<Self> {
        unimplemented!()
    }

    /// How a flow of a pod leaves. A cached verdict is returned without waiting.
    ///
    /// # Errors
    /// A [`Refusal`] with the reason for which the flow is to be closed.
    pub async fn outbound(
        &self,
        _question: OutboundQuestion,
    ) -> Result<Arc<OutboundVerdict>, Refusal> {
        unimplemented!()
    }

    /// Whether a flow to a pod may enter. A cached verdict is returned without waiting.
    ///
    /// # Errors
    /// A [`Refusal`] with the reason for which the flow is to be closed.
    pub async fn inbound(
        &self,
        _question: InboundQuestion,
    ) -> Result<Arc<InboundVerdict>, Refusal> {
        unimplemented!()
    }

    /// Takes answers in; those that a later invalidation touched are asked again.
    pub fn answer(&self, _answers: Vec<Answer>) {
        unimplemented!()
    }

    /// Drops what is cached or under way and read one of `keys` at an older generation.
    pub fn invalidate(&self, _generation: u64, _keys: &[Arc<str>]) {
        unimplemented!()
    }

    /// Forgets everything of a pod; its waiting flows are refused with `pod_removed`. Call it when no flow of the pod can
    /// ask any more.
    pub fn remove_pod(&self, _uid: &str) {
        unimplemented!()
    }
}
