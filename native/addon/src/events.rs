//! The engine's events on their way to JavaScript: one threadsafe function, and a queue that merges questions while
//! JavaScript is busy.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ambit_engine::api::{EngineEvent, EventSink, LogLevel};
use napi::bindgen_prelude::{Function, ToNapiValue, Unknown};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Result, Status, sys};

use crate::output::Encode;

/// Log events beyond this are dropped: whoever makes the engine log must not fill JavaScript's memory. Questions are
/// bounded where they are asked; the other kinds are as many as there are pods.
const LOGS_BOUND: usize = 1024;

/// Not error-first, and weak: the engine alone does not keep the process alive.
type Callback = ThreadsafeFunction<NextEvent, Unknown<'static>, NextEvent, Status, false, true>;

#[derive(Default)]
struct Queue {
    events: Mutex<VecDeque<EngineEvent>>,
}

impl Queue {
    /// Returns whether a call is due for it: not where it went into a batch whose call is under way.
    fn push(&self, event: EngineEvent) -> bool {
        let mut events = self.lock();
        let full = events.len() >= LOGS_BOUND;
        match (events.back_mut(), event) {
            (Some(EngineEvent::Questions(waiting)), EngineEvent::Questions(more)) => {
                waiting.extend(more);
                false
            }
            (_, EngineEvent::Log { .. }) if full => false,
            (_, event) => {
                events.push_back(event);
                true
            }
        }
    }

    fn pop(&self) -> Option<EngineEvent> {
        self.lock().pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<EngineEvent>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the oldest event when JavaScript's thread gets to it.
pub(crate) struct NextEvent(Arc<Queue>);

impl ToNapiValue for NextEvent {
    unsafe fn to_napi_value(env: sys::napi_env, next: Self) -> Result<sys::napi_value> {
        // Each call has its event; null would say that there was none.
        let scope = Env::from_raw(env);
        let event = next.0.pop().map(|event| event.encode(&scope));
        let event = event.transpose()?;
        // SAFETY: the environment is the one that the caller vouches for.
        unsafe { ToNapiValue::to_napi_value(env, event) }
    }
}

pub(crate) struct Events {
    queue: Arc<Queue>,
    callback: Callback,
}

impl Events {
    pub(crate) fn new(on_event: &Function<'_, NextEvent, Unknown<'static>>) -> Result<Arc<Self>> {
        let builder = on_event.build_threadsafe_function::<NextEvent>();
        let callback = builder.callee_handled::<false>().weak::<true>().build()?;
        let queue = Arc::default();
        Ok(Arc::new(Self { queue, callback }))
    }
}

impl EventSink for Events {
    fn emit(&self, event: EngineEvent) {
        if !self.queue.push(event) {
            return;
        }
        let queue = self.queue.clone();
        self.callback.call_with_return_value(
            NextEvent(self.queue.clone()),
            ThreadsafeFunctionCallMode::NonBlocking,
            move |returned, _env| {
                // Caught here, or Node would end the process and the data plane with it.
                if let Err(error) = returned {
                    report(&queue, &error.to_string());
                }
                Ok(())
            },
        );
    }
}

/// Written to standard error: the callback that would log it is the one that fails.
fn report(queue: &Queue, error: &str) {
    let waiting = queue.lock().len();
    let level = LogLevel::Error;
    eprintln!(
        "ambit: {level:?}: the engine's event callback threw ({waiting} events wait): {error}"
    );
}
