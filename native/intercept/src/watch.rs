//! One thread that notices when somebody undoes our work, and puts it back. Rules and routes are heard of; links and pins are
//! asked for once a second, at a few system calls a pod; settings of a few pods a second, in turn.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::InterceptError;
use crate::interception::{Node, State};
use crate::lookup::Attachment;
use crate::options::Tampering;
use crate::pod::{self, PodState};
use crate::sys;

const STOP: u64 = 0;
const TICK: Duration = Duration::from_millis(900);
/// A pod that keeps changing its namespace costs us a look at most this often.
const PAUSE: Duration = Duration::from_millis(100);
/// After hearing of changes: a pod that floods its own namespace with them must not keep this thread busy.
const BREATH: Duration = Duration::from_millis(10);
const SETTINGS_PER_TICK: usize = 32;
/// containerd's first step to take a sandbox down is `lo` (its own network of the plugin `loopback`); the plugins of the pod's network,
/// by which we are told to let the pod go, come next. So this one change counts only where the pod is still captured then.
const PATIENCE: Duration = Duration::from_millis(700);

/// Stops and joins its thread when dropped.
pub(crate) struct Watcher {
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    pub fn start(node: Arc<Node>) -> io::Result<Self> {
        let stop = Arc::new(sys::event()?);
        node.poller.add(stop.as_fd(), STOP)?;
        let held = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("ambit-watch".to_owned())
            .spawn(move || {
                run(&node);
                drop(held);
            })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        sys::signal(self.stop.as_fd());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(node: &Node) {
    let mut dirty = BTreeSet::new();
    let mut suspicions = Suspicions::default();
    let mut tick = Instant::now() + TICK;
    let mut turn = 0;
    loop {
        let until = tick.saturating_duration_since(Instant::now());
        let wait = if dirty.is_empty() {
            until
        } else {
            until.min(PAUSE)
        };
        let wait = suspicions.due().map_or(wait, |due| wait.min(due));
        let ready = node.poller.wait(wait.as_millis() as i32 + 1);
        if ready.contains(&STOP) {
            return;
        }
        let mut found = node.heard(&ready, &mut dirty);
        if Instant::now() >= tick {
            tick = Instant::now() + TICK;
            found.extend(node.polled(&mut turn));
        }
        suspicions.hold(&mut found);
        found.extend(suspicions.confirmed(node));
        for tampering in found {
            (node.sink)(tampering);
        }
        if !ready.is_empty() {
            thread::sleep(BREATH);
        }
    }
}

/// What may be the beginning of an orderly end, oldest first.
#[derive(Default)]
struct Suspicions(VecDeque<(Instant, Tampering)>);

impl Suspicions {
    fn hold(&mut self, found: &mut Vec<Tampering>) {
        let now = Instant::now();
        let held = found.extract_if(.., |tampering| tampering.what == pod::LOOPBACK_DOWN);
        self.0.extend(held.map(|tampering| (now, tampering)));
    }

    /// When the next one is to be looked at again.
    fn due(&self) -> Option<Duration> {
        self.0
            .front()
            .map(|(since, _)| PATIENCE.saturating_sub(since.elapsed()))
    }

    fn confirmed(&mut self, node: &Node) -> Vec<Tampering> {
        let mut confirmed = Vec::new();
        while self.due().is_some_and(|due| due.is_zero()) {
            confirmed.extend(self.0.pop_front().map(|(_, tampering)| tampering));
        }
        confirmed.retain(|tampering| node.captures(tampering.pod.as_deref()));
        confirmed
    }
}

impl Node {
    fn captures(&self, uid: Option<&str>) -> bool {
        let state = self.state();
        uid.and_then(|uid| state.pods.get(uid))
            .is_some_and(|pod| pod.attachment.is_some())
    }

    /// Looks at the pods whose namespaces changed, unless they were looked at a moment ago.
    fn heard(&self, ready: &[u64], dirty: &mut BTreeSet<Arc<str>>) -> Vec<Tampering> {
        let mut state = self.state();
        for token in ready {
            let Some(uid) = state.tokens.get(token).cloned() else {
                continue;
            };
            if let Some(pod) = state.pods.get(&uid) {
                pod.changes.drain();
            }
            dirty.insert(uid);
        }
        let now = Instant::now();
        let due: Vec<_> = dirty
            .iter()
            .filter(|uid| {
                state
                    .pods
                    .get(*uid)
                    .is_none_or(|pod| now.duration_since(pod.checked) >= PAUSE)
            })
            .cloned()
            .collect();
        let mut found = Vec::new();
        for uid in due {
            dirty.remove(&uid);
            found.extend(self.look_inside(&mut state, &uid));
        }
        found
    }

    fn look_inside(&self, state: &mut State, uid: &Arc<str>) -> Vec<Tampering> {
        if !self.hooks().is_newest() {
            return Vec::new();
        }
        let Some(pod) = state.pods.get_mut(uid) else {
            return Vec::new();
        };
        pod.checked = Instant::now();
        let (routing, dns) = (pod.routing, pod.dns);
        let found = pod
            .netns
            .enter(|| pod::repair(routing, dns))
            .and_then(|found| found);
        let found =
            found.unwrap_or_else(|error| vec![(format!("checking failed: {error}"), false)]);
        found
            .into_iter()
            .map(|(what, restored)| Tampering {
                pod: Some(Arc::clone(uid)),
                what,
                restored,
            })
            .collect()
    }

    fn polled(&self, turn: &mut usize) -> Vec<Tampering> {
        let mut hooks = self.hooks();
        if !hooks.is_newest() {
            return Vec::new();
        }
        let _ = self.pins.create();
        let mut found: Vec<_> = hooks
            .repair(&self.pins)
            .into_iter()
            .map(|(what, restored)| Tampering {
                pod: None,
                what,
                restored,
            })
            .collect();
        drop(hooks);
        let mut state = self.state();
        let mut uids: Vec<_> = state.pods.keys().cloned().collect();
        uids.sort();
        for uid in &uids {
            let Some(pod) = state.pods.get_mut(uid) else {
                continue;
            };
            let Some(what) = self.attachment_fault(pod) else {
                continue;
            };
            let restored = self.repair_attachment(pod).is_ok();
            found.push(Tampering {
                pod: Some(Arc::clone(uid)),
                what,
                restored,
            });
        }
        for offset in 0..uids.len().min(SETTINGS_PER_TICK) {
            found.extend(self.look_inside(&mut state, &uids[(*turn + offset) % uids.len()]));
        }
        *turn = turn.wrapping_add(SETTINGS_PER_TICK);
        found
    }

    /// In words what is wrong with a captured pod's link or pins.
    pub fn attachment_fault(&self, pod: &PodState) -> Option<String> {
        let attachment = pod.attachment.as_ref()?;
        if attachment.info().map_or(0, |info| info.target) != pod.netns.inode() {
            return Some("look-up program is detached".to_owned());
        }
        let uid = &pod.network.uid;
        let pinned = self.pins.pod_link(uid).exists() && self.pins.pod_listeners(uid).exists();
        (!pinned).then(|| "look-up link or listener map is not pinned".to_owned())
    }

    fn repair_attachment(&self, pod: &mut PodState) -> Result<(), InterceptError> {
        let uid = &pod.network.uid;
        let Some(attachment) = &pod.attachment else {
            return Ok(());
        };
        let io_error = crate::error::system("attaching the pod's look-up program again");
        let _ = std::fs::create_dir(self.pins.pod(uid));
        if attachment.info().map_or(0, |info| info.target) == pod.netns.inode() {
            return attachment.pin(&self.pins, uid).map_err(io_error);
        }
        let listeners = crate::bpf::duplicate(&attachment.listeners)
            .map_err(crate::error::system("holding the listener map"))?;
        let config = pod::lookup_config(&pod.network, &pod.netns, self.options.threads);
        let program = self.template.load(&config, listeners.as_fd())?;
        let again = Attachment::create(&self.pins, uid, &pod.netns, program.as_fd(), listeners)
            .map_err(io_error)?;
        pod.attachment = Some(again);
        Ok(())
    }
}
