//! Whose name queries are captured. That they are not is no reason to refuse a pod: they go to its resolver then.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use ambit_intercept::Interception;
use tokio::sync::oneshot;

use super::reaper::lock;
use super::thread::EngineThread;
use crate::api::{EngineEvent, EventSink, LogLevel};
use crate::dns::{Captured, Captures};
use crate::flows::Pod;

#[derive(Clone, Default)]
pub struct DnsCapture(Arc<Mutex<Holds>>);

#[derive(Default)]
struct Holds {
    last: u64,
    by_pod: HashMap<Arc<str>, Hold>,
}

/// Dropping it closes the pod's socket.
struct Hold {
    /// Tells one hold of a pod from the next.
    number: u64,
    _held: oneshot::Sender<()>,
}

impl DnsCapture {
    /// Does what the pod's spec says; what cannot be captured now is tried again.
    pub fn follow(
        &self,
        pod: &Arc<Pod>,
        interception: &Arc<Interception>,
        threads: &[EngineThread],
        sink: &Arc<dyn EventSink>,
    ) {
        let spec = pod.spec();
        let uid = &spec.uid;
        let held = lock(&self.0).by_pod.contains_key(uid);
        if spec.dns_capture && !held {
            let (hold, released) = oneshot::channel();
            let capture = PodCapture {
                uid: uid.clone(),
                number: self.hold(uid, hold),
                holds: self.clone(),
                interception: interception.clone(),
                sink: sink.clone(),
            };
            let index = usize::try_from(pod.netns.cookie()).unwrap_or_default() % threads.len();
            let first = capture.capture();
            threads[index].answer_dns(pod.clone(), first, Box::new(capture), released);
        } else if held && !spec.dns_capture {
            self.let_go(uid);
            if let Err(error) = interception.release_dns(uid) {
                tell(sink, uid, "a pod's name queries cannot be let go", &error);
            }
        }
    }

    fn hold(&self, uid: &Arc<str>, held: oneshot::Sender<()>) -> u64 {
        let mut holds = lock(&self.0);
        holds.last += 1;
        let number = holds.last;
        let hold = Hold {
            number,
            _held: held,
        };
        holds.by_pod.insert(uid.clone(), hold);
        number
    }

    pub fn let_go(&self, uid: &str) {
        lock(&self.0).by_pod.remove(uid);
    }
}

/// One hold of one pod.
struct PodCapture {
    uid: Arc<str>,
    number: u64,
    holds: DnsCapture,
    interception: Arc<Interception>,
    sink: Arc<dyn EventSink>,
}

impl Captures for PodCapture {
    fn capture(&self) -> Captured {
        // Held meanwhile: who lets the pod go must not be overtaken.
        let holds = lock(&self.holds.0);
        let hold = holds.by_pod.get(&self.uid);
        if hold.is_none_or(|hold| hold.number != self.number) {
            return Captured::Unwanted;
        }
        match self.interception.capture_dns(&self.uid) {
            Ok(sockets) => Captured::Sockets(sockets),
            Err(error) => {
                let message = "a pod's name queries are not captured and go to its resolver";
                tell(&self.sink, &self.uid, message, &error);
                Captured::Failed
            }
        }
    }

    fn lost(&self, error: &io::Error) {
        let message =
            "the socket for a pod's name queries has failed; they go to its resolver meanwhile";
        tell(&self.sink, &self.uid, message, error);
    }
}

fn tell(sink: &Arc<dyn EventSink>, uid: &str, message: &str, error: &dyn std::error::Error) {
    let fields = serde_json::json!({ "pod": uid, "error": error.to_string() });
    sink.emit(EngineEvent::Log {
        level: LogLevel::Warn,
        message: message.to_owned(),
        fields: fields.to_string(),
    });
}
