use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

/// Tells one flow, on whatever thread it runs, that it is to end.
#[derive(Clone, Debug, Default)]
pub struct CancelHandle {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    reason: OnceLock<Arc<str>>,
    notify: Notify,
}

impl CancelHandle {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The first reason stays. Returns whether this call was the one that cancelled.
    pub fn cancel(&self, reason: impl Into<Arc<str>>) -> bool {
        let first = self.state.reason.set(reason.into()).is_ok();
        self.state.notify.notify_waiters();
        first
    }

    #[must_use]
    pub fn reason(&self) -> Option<Arc<str>> {
        self.state.reason.get().cloned()
    }

    /// Resolves with the reason once cancelled; at once where that has happened.
    pub async fn cancelled(&self) -> Arc<str> {
        let mut notified = std::pin::pin!(self.state.notify.notified());
        loop {
            // Registered before the look, so that a cancel in between is not missed.
            notified.as_mut().enable();
            if let Some(reason) = self.reason() {
                return reason;
            }
            notified.as_mut().await;
            notified.set(self.state.notify.notified());
        }
    }
}
