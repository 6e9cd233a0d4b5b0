//! The end of pods that were withdrawn, once their last flow has gone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use ambit_intercept::Interception;

use super::thread::EngineThread;
use crate::api::{EngineEvent, EventSink, LogLevel};
use crate::flows::{Pod, Shared};

pub type Pods = HashMap<Arc<str>, Arc<Pod>>;

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub enum Leaving {
    Idle(Arc<str>),
    Stop,
}

/// Takes the rest out of pods whose last flow has ended. On a thread of its own, because the kernel may take its time.
pub struct Reaper {
    pub shared: Arc<Shared>,
    pub sink: Arc<dyn EventSink>,
    pub interception: Arc<Interception>,
    pub threads: Arc<Vec<EngineThread>>,
    pub leaving: Arc<Mutex<Pods>>,
}

impl Reaper {
    pub fn run(self, inbox: &mpsc::Receiver<Leaving>) {
        while let Ok(Leaving::Idle(uid)) = inbox.recv() {
            self.release(&uid);
        }
    }

    fn release(&self, uid: &Arc<str>) {
        // Held to the end: a pod that comes back takes itself out of here first, so that it is not enrolled anew while
        // this takes its capture away.
        let mut leaving = lock(&self.leaving);
        // Said twice, or the pod has come back, or the engine is draining with the pod still enrolled.
        if leaving.get(uid).is_none_or(|pod| pod.drain.open() > 0) {
            return;
        }
        leaving.remove(uid);
        self.threads
            .iter()
            .for_each(|thread| thread.forget(uid.clone()));
        self.shared.decisions.remove_pod(uid);
        if let Err(error) = self.interception.release(uid) {
            let fields =
                serde_json::json!({ "pod": &**uid, "error": error.to_string() }).to_string();
            let message = "a pod's network namespace could not be cleaned".to_owned();
            self.sink.emit(EngineEvent::Log {
                level: LogLevel::Warn,
                message,
                fields,
            });
        }
        self.sink.emit(EngineEvent::Released { pod: uid.clone() });
    }
}
