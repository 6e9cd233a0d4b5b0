//! The engine's events on their way to JavaScript: one threadsafe function, and a queue that merges questions while
//! JavaScript is busy.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ambit_engine::api::{EngineEvent, EventSink, LogLevel};
use napi::bindgen_prelude::{Function, ToNapiValue, Unknown};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Result, Status, sys};

use crate::output::Encode;

/// Log and tampering events beyond this are dropped: whoever makes the engine tell of them must not fill JavaScript's
/// memory. Questions are bounded where they are asked; releases are as many as there are pods.
const LOGS_BOUND: usize = 1024;

/// Not error-first, and weak: the engine alone does not keep the process alive.
type Callback = ThreadsafeFunction<NextEvent, Unknown<'static>, NextEvent, Status, false, true>;

#[derive(Default)]
struct Waiting {
    events: VecDeque<EngineEvent>,
    dropped: usize,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
}

impl Queue {
    /// Returns how many calls are due for it: none where it went into a batch whose call is under way.
    fn push(&self, event: EngineEvent) -> usize {
        let mut waiting = self.lock();
        let Waiting { events, dropped } = &mut *waiting;
        let full = events.len() >= LOGS_BOUND;
        match (events.back_mut(), event) {
            (Some(EngineEvent::Questions(batch)), EngineEvent::Questions(more)) => {
                batch.extend(more);
                0
            }
            (_, EngineEvent::Log { .. } | EngineEvent::Tampering { .. }) if full => {
                *dropped += 1;
                0
            }
            (_, event) => {
                events.push_back(event);
                let notice = (!full && *dropped > 0).then(|| notice(std::mem::take(dropped)));
                let calls = 1 + usize::from(notice.is_some());
                events.extend(notice);
                calls
            }
        }
    }

    fn pop(&self) -> Option<EngineEvent> {
        self.lock().events.pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn notice(dropped: usize) -> EngineEvent {
    EngineEvent::Log {
        level: LogLevel::Warn,
        message: "events of the engine were dropped, because JavaScript did not take them"
            .to_owned(),
        fields: format!("{{\"dropped\":{dropped}}}"),
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
        for _ in 0..self.queue.push(event) {
            self.call();
        }
    }
}

impl Events {
    fn call(&self) {
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
    let waiting = queue.lock().events.len();
    eprintln!("ambit: the engine's event callback threw ({waiting} events wait): {error}");
}
