//! The engine between `start` and `stop`.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ambit_intercept::sockets::connect_to_loopback;
use ambit_intercept::{CapturedPod, InterceptError, Interception, PodNetwork, Tampering};

use super::dns_capture::DnsCapture;
use super::reaper::{Leaving, Pods, Reaper, lock};
use super::thread::EngineThread;
use crate::api::{
    DrainReport, EngineEvent, EngineOptions, EventSink, HealthReport, InboundFlowPage, PodSpec,
};
use crate::drain::{Drain, Phase};
use crate::error::{EngineError, ErrorCode};
use crate::flows::{Admissions, Pod, Shared, page};

/// How long flows that were cut may take to be gone: they only have to notice.
const CUT_LIMIT: Duration = Duration::from_secs(2);

/// On a loopback nothing is lost: who does not answer at once has a full queue. Other calls wait behind this one.
const LOOPBACK_LIMIT: Duration = Duration::from_millis(500);

/// Wakes whoever waits for drained pods.
#[derive(Default)]
struct Idle {
    lock: Mutex<()>,
    /// Nobody waits any longer: the engine is being stopped.
    interrupted: AtomicBool,
    changed: Condvar,
}

pub struct Running {
    shared: Arc<Shared>,
    sink: Arc<dyn EventSink>,
    interception: Arc<Interception>,
    threads: Arc<Vec<EngineThread>>,
    pods: Mutex<Pods>,
    /// Withdrawn, with flows still open.
    leaving: Arc<Mutex<Pods>>,
    idle: Arc<Idle>,
    dns: DnsCapture,
    notices: mpsc::Sender<Leaving>,
    reaper: JoinHandle<()>,
}

pub(super) fn intercept_error(what: &str, error: InterceptError) -> EngineError {
    let code = match error {
        InterceptError::UnknownPod { .. } => ErrorCode::UnknownPod,
        InterceptError::KernelFeature { .. } => ErrorCode::KernelFeatureMissing,
        InterceptError::NotBpffs { .. } => ErrorCode::BpffsUnusable,
        InterceptError::NotCgroupRoot { .. } => ErrorCode::CgroupMissing,
        InterceptError::Permission { .. } => ErrorCode::NotPermitted,
        InterceptError::AgentRuns { .. } => ErrorCode::AgentRuns,
        _ => ErrorCode::Intercept,
    };
    EngineError::caused(code, what, error)
}

fn io_error(what: &str, error: std::io::Error) -> EngineError {
    EngineError::caused(ErrorCode::Io, what, error)
}

fn network_of(spec: &PodSpec) -> PodNetwork {
    PodNetwork {
        uid: spec.uid.clone(),
        netns: spec.netns.clone(),
        addresses: spec.addresses.clone(),
        probe_ports: spec.probe_ports.clone(),
        guarded: spec.handover,
        bypass_inbound: spec.bypass_inbound,
    }
}

impl Running {
    pub fn open(
        options: &EngineOptions,
        shared: Arc<Shared>,
        sink: Arc<dyn EventSink>,
    ) -> Result<Self, EngineError> {
        let interception = Arc::new(open_interception(options, &sink)?);
        let last_id: Arc<AtomicU64> = Arc::default();
        let threads = (0..options.threads.max(1))
            .map(|index| {
                EngineThread::start(index, shared.clone(), Admissions::new(last_id.clone()))
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| io_error("an engine thread cannot be started", error))?;
        let threads = Arc::new(threads);
        let leaving = Arc::new(Mutex::new(Pods::new()));
        let (notices, inbox) = mpsc::channel();
        let reaper = Reaper {
            shared: shared.clone(),
            sink: sink.clone(),
            interception: interception.clone(),
            threads: threads.clone(),
            leaving: leaving.clone(),
        };
        let reaper = std::thread::Builder::new()
            .name("ambit-reaper".to_owned())
            .spawn(move || reaper.run(&inbox))
            .map_err(|error| io_error("the thread that releases pods cannot be started", error))?;
        Ok(Running {
            shared,
            sink,
            interception,
            threads,
            pods: Mutex::default(),
            leaving,
            idle: Arc::default(),
            dns: DnsCapture::default(),
            notices,
            reaper,
        })
    }

    pub fn adopted(&self) -> Vec<Arc<str>> {
        self.interception.adopted()
    }

    pub fn inbound_flows(&self, pod: &str, after: u64, limit: usize) -> InboundFlowPage {
        let lists = self.threads.iter().map(EngineThread::admissions);
        page(lists, pod, after, limit)
    }

    pub fn close_inbound_flows(&self, pod: &str, ids: &[u64], reason: &str) -> usize {
        let reason = reason.into();
        let threads = self.threads.iter();
        threads
            .map(|thread| thread.close_inbound_flows(pod, ids, &reason))
            .sum()
    }

    pub fn enrol(&self, spec: PodSpec) -> Result<(), EngineError> {
        let network = network_of(&spec);
        let held = lock(&self.pods).get(&spec.uid).cloned();
        match held {
            Some(pod) if pod.spec().netns == spec.netns && !pod.spec().is_same_peer(&spec) => {
                self.replace(&pod, spec, &network)
            }
            Some(pod) if pod.spec().netns == spec.netns => {
                self.interception
                    .update(&network)
                    .map_err(|error| intercept_error("the pod cannot be updated", error))?;
                pod.update(spec);
                self.follow_dns(&pod);
                Ok(())
            }
            Some(_) => Err(EngineError::new(
                ErrorCode::InvalidArgument,
                format!(
                    "the pod {} is enrolled in another network namespace; forget it first",
                    spec.uid
                ),
            )),
            None => self.take_in(spec, &network),
        }
    }

    /// Another identity under the same uid is another pod to its peers: no flow and no tunnel is kept. Its capture does not
    /// end in between: the hooks stay, and refuse while they have no listener.
    fn replace(
        &self,
        pod: &Arc<Pod>,
        spec: PodSpec,
        network: &PodNetwork,
    ) -> Result<(), EngineError> {
        lock(&self.pods).remove(&spec.uid);
        self.dns.let_go(&spec.uid);
        self.threads
            .iter()
            .for_each(|thread| thread.withdraw(pod.clone()));
        pod.drain.advance(Phase::Draining);
        self.close(pod);
        self.take_in(spec, network)
    }

    fn take_in(&self, spec: PodSpec, network: &PodNetwork) -> Result<(), EngineError> {
        let uid = spec.uid.clone();
        // It comes back before it had quite left: the kernel's part is made anew, and its old flows simply run out.
        lock(&self.leaving).remove(&uid);
        let captured = self
            .interception
            .enrol(network)
            .map_err(|error| intercept_error("the pod cannot be captured", error))?;
        let CapturedPod {
            netns,
            listeners,
            listener_ports,
            mark,
            ..
        } = captured;
        let pod = Pod::new(
            spec,
            netns,
            mark,
            listener_ports,
            self.drain_for(uid.clone()),
            self.shared.capacity.clone(),
        );
        lock(&self.pods).insert(uid.clone(), pod.clone());
        for (thread, listeners) in self.threads.iter().zip(listeners) {
            if let Err(error) = thread.take(pod.clone(), listeners) {
                let _ = self.forget(&uid);
                return Err(io_error("the pod's listeners cannot be registered", error));
            }
        }
        self.follow_dns(&pod);
        Ok(())
    }

    fn follow_dns(&self, pod: &Arc<Pod>) {
        self.dns
            .follow(pod, &self.interception, &self.threads, &self.sink);
    }

    fn drain_for(&self, uid: Arc<str>) -> Arc<Drain> {
        let (idle, notices) = (self.idle.clone(), self.notices.clone());
        Drain::new(move || {
            // Fails only where the reaper has ended, when there is nothing to release any more.
            let _ = notices.send(Leaving::Idle(uid.clone()));
            drop(lock(&idle.lock));
            idle.changed.notify_all();
        })
    }

    /// Ends capture of a pod; `phase` says what becomes of its flows.
    fn leave(&self, uid: &str, phase: Phase) -> Result<Option<Arc<Pod>>, EngineError> {
        self.dns.let_go(uid);
        self.interception
            .withdraw(uid)
            .map_err(|error| intercept_error("the pod's capture cannot be ended", error))?;
        let held = lock(&self.pods).remove(uid);
        let still_leaving = lock(&self.leaving).get(uid).cloned();
        let Some(pod) = held.or(still_leaving) else {
            return Ok(None);
        };
        lock(&self.leaving).insert(pod.spec().uid.clone(), pod.clone());
        self.threads
            .iter()
            .for_each(|thread| thread.withdraw(pod.clone()));
        pod.drain.advance(phase);
        Ok(Some(pod))
    }

    /// A pod that only an earlier process knew has no flows of ours.
    fn release_adopted(&self, uid: &str) -> Result<(), EngineError> {
        self.interception
            .release(uid)
            .map_err(|error| intercept_error("the pod cannot be released", error))?;
        self.sink.emit(EngineEvent::Released { pod: uid.into() });
        Ok(())
    }

    pub fn unenrol(&self, uid: &str) -> Result<(), EngineError> {
        match self.leave(uid, Phase::Draining)? {
            Some(_) => Ok(()),
            None => self.release_adopted(uid),
        }
    }

    pub fn forget(&self, uid: &str) -> Result<(), EngineError> {
        let Some(pod) = self.leave(uid, Phase::Draining)? else {
            return self.release_adopted(uid);
        };
        self.close(&pod);
        Ok(())
    }

    /// Ends everything that is open and everything that was decided for the pod.
    fn close(&self, pod: &Pod) {
        let uid = pod.spec().uid.clone();
        self.shared.decisions.remove_pod(&uid);
        self.shared.telemetry.close_pod(&uid, "the pod was removed");
        self.threads
            .iter()
            .for_each(|thread| thread.forget(uid.clone()));
        pod.drain.advance(Phase::Closed);
        // Once more, for flows that came into the table meanwhile; later ones see the phase.
        self.shared.telemetry.close_pod(&uid, "the pod was removed");
    }

    pub fn connect_to_pod(&self, uid: &str, port: u16) -> Result<OwnedFd, EngineError> {
        let Some(pod) = lock(&self.pods).get(uid).cloned() else {
            let message = format!("the pod {uid} is not enrolled; enrol it first");
            return Err(EngineError::new(ErrorCode::UnknownPod, message));
        };
        connect_to_loopback(&pod.netns, port, LOOPBACK_LIMIT).map_err(|error| {
            io_error(
                &format!("nothing in the pod {uid} takes connections at 127.0.0.1:{port}"),
                error,
            )
        })
    }

    pub fn health(&self) -> HealthReport {
        let health = self.interception.health();
        HealthReport {
            effective: health.effective,
            missing: health.missing,
            pods: lock(&self.pods).len(),
        }
    }

    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        self.interception.counters()
    }

    fn all_pods(&self) -> Vec<Arc<Pod>> {
        let enrolled = lock(&self.pods).values().cloned().collect::<Vec<_>>();
        let leaving = lock(&self.leaving).values().cloned().collect::<Vec<_>>();
        enrolled.into_iter().chain(leaving).collect()
    }

    /// The hooks stay as they are: with the listeners closed, new connections are refused.
    pub fn drain(&self, deadline: Duration) -> DrainReport {
        let pods = self.all_pods();
        let before = self.shared.telemetry.all_open_flows();
        self.interception.retire();
        pods.iter()
            .for_each(|pod| pod.drain.advance(Phase::Draining));
        self.wait_idle(&pods, deadline);
        let forced = self.cut(&pods, "the engine was drained");
        DrainReport {
            closed: before.saturating_sub(forced),
            forced,
        }
    }

    fn cut(&self, pods: &[Arc<Pod>], reason: &str) -> usize {
        let mut forced = self.shared.telemetry.close_all(reason);
        pods.iter().for_each(|pod| pod.drain.advance(Phase::Closed));
        // Once more, for flows that came into the table meanwhile; later ones see the phase.
        forced += self.shared.telemetry.close_all(reason);
        self.wait_idle(pods, CUT_LIMIT);
        forced
    }

    fn wait_idle(&self, pods: &[Arc<Pod>], limit: Duration) {
        let end = Instant::now() + limit;
        let mut guard = lock(&self.idle.lock);
        while pods.iter().any(|pod| pod.drain.open() > 0) {
            // Flows that are cut are waited for all the same: they have only to notice.
            if self.idle.interrupted.load(Ordering::SeqCst) && limit > CUT_LIMIT {
                return;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            guard = self
                .idle
                .changed
                .wait_timeout(guard, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Ends the wait of a drain under way: it cuts at once what is open.
    pub fn interrupt(&self) {
        self.idle.interrupted.store(true, Ordering::SeqCst);
        drop(lock(&self.idle.lock));
        self.idle.changed.notify_all();
    }

    /// Cuts what is open, ends and joins every thread. What is pinned in the kernel stays, and closed.
    pub fn stop(self) {
        self.cut(&self.all_pods(), "the engine was stopped");
        let _ = self.notices.send(Leaving::Stop);
        let _ = self.reaper.join();
        if let Some(threads) = Arc::into_inner(self.threads) {
            threads.into_iter().for_each(EngineThread::stop);
        }
        if let Some(interception) = Arc::into_inner(self.interception) {
            interception.close();
        }
    }
}

fn open_interception(
    options: &EngineOptions,
    sink: &Arc<dyn EventSink>,
) -> Result<Interception, EngineError> {
    let sink = sink.clone();
    let report = Arc::new(move |tampering: Tampering| {
        let Tampering {
            pod,
            what,
            restored,
        } = tampering;
        sink.emit(EngineEvent::Tampering {
            pod,
            what,
            restored,
        });
    });
    let options = ambit_intercept::Options {
        node: options.node.clone(),
        bpffs: options.bpffs.clone(),
        cgroup_root: options.cgroup_root.clone(),
        pods_cgroup: options
            .pods_cgroup
            .as_ref()
            .map(|pods| options.cgroup_root.join(pods)),
        node_netns: options.node_netns.clone(),
        host_proc: options.host_proc.clone(),
        threads: options.threads.max(1),
    };
    Interception::open(options, report)
        .map_err(|error| intercept_error("interception cannot be set up", error))
}
