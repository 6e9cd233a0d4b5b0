//! Whose name queries are captured. That they are not is no reason to refuse a pod: they go to its resolver then.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use ambit_intercept::Interception;
use tokio::sync::oneshot;

use super::reaper::lock;
use super::thread::EngineThread;
use crate::api::{EngineEvent, EventSink, LogLevel};
use crate::flows::Pod;

/// By pod; dropping a sender closes the pod's socket.
#[derive(Default)]
pub struct DnsCapture(Mutex<HashMap<Arc<str>, oneshot::Sender<()>>>);

impl DnsCapture {
    /// Does what the pod's spec says.
    pub fn follow(
        &self,
        pod: &Arc<Pod>,
        interception: &Interception,
        threads: &[EngineThread],
        sink: &Arc<dyn EventSink>,
    ) {
        let spec = pod.spec();
        let uid = &spec.uid;
        let captured = lock(&self.0).contains_key(uid);
        let done = match (spec.dns_capture, captured) {
            (true, false) => interception.capture_dns(uid).map(|sockets| {
                let index = usize::try_from(pod.netns.cookie()).unwrap_or_default() % threads.len();
                let hold = threads[index].answer_dns(pod.clone(), sockets);
                lock(&self.0).insert(uid.clone(), hold);
            }),
            (false, true) => {
                self.let_go(uid);
                interception.release_dns(uid)
            }
            _ => Ok(()),
        };
        if let Err(error) = done {
            let fields = serde_json::json!({ "pod": &**uid, "error": error.to_string() });
            sink.emit(EngineEvent::Log {
                level: LogLevel::Warn,
                message: "a pod's name queries are not captured and go to its resolver".to_owned(),
                fields: fields.to_string(),
            });
        }
    }

    pub fn let_go(&self, uid: &str) {
        lock(&self.0).remove(uid);
    }
}
