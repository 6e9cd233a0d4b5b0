//! The engine as its owner sees it. Methods that touch the kernel block; call them from a thread of your own.

mod dns_capture;
mod reaper;
mod running;
mod thread;

use std::fmt::Write;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::api::{
    AccessLogFilter, AdoptedPod, Answer, DrainReport, EndpointSet, EngineOptions, EventSink,
    FlowInfo, HealthReport, IdentityCertificate, InboundFlowPage, NameRecord, PodSpec,
    ServiceDescriptor, WorkloadDescriptor,
};
use crate::decisions::{DecisionLimits, Decisions};
use crate::directory::Directory;
use crate::dns::{DnsMetrics, NameTable};
use crate::error::{EngineError, ErrorCode};
use crate::flows::{RefusalCounters, Shared};
use crate::telemetry::{Telemetry, TelemetryOptions};
use crate::tls::IdentityStore;
use running::{Running, intercept_error};

enum State {
    New,
    /// The kernel is being asked, without the lock: what is told meanwhile must not wait for it.
    Starting,
    Running(Arc<Running>),
    Stopped,
}

/// `Send + Sync`; every method takes `&self`, so one `Arc<Engine>` serves the control thread and JavaScript's.
pub struct Engine {
    options: EngineOptions,
    sink: Arc<dyn EventSink>,
    shared: Arc<Shared>,
    state: RwLock<State>,
}

fn illegal_state() -> EngineError {
    EngineError::new(
        ErrorCode::IllegalState,
        "the engine is not running; call start first and nothing after stop",
    )
}

impl Engine {
    /// Makes the engine's parts and opens the access log; touches neither kernel nor network.
    pub fn new(options: EngineOptions, sink: Arc<dyn EventSink>) -> Result<Engine, EngineError> {
        let telemetry_options = TelemetryOptions {
            access_log: options.access_log.clone(),
            access_log_format: options.access_log_format,
            version: options.version.clone(),
        };
        let telemetry = Telemetry::new(&telemetry_options).map_err(|error| {
            EngineError::caused(
                ErrorCode::Io,
                format!("the access log {} cannot be opened", options.access_log),
                error,
            )
        })?;
        let limits = DecisionLimits {
            question_timeout: options.question_timeout,
            ..DecisionLimits::default()
        };
        let shared = Arc::new(Shared {
            identities: IdentityStore::new(&options.trust_domains),
            decisions: Decisions::new(sink.clone(), limits, telemetry.registry()),
            directory: Arc::new(Directory::new()),
            names: NameTable::default(),
            dns: DnsMetrics::new(telemetry.registry()),
            refusals: RefusalCounters::new(telemetry.registry()),
            connect_timeout: options.connect_timeout,
            capacity: Arc::default(),
            telemetry,
        });
        Ok(Engine {
            options,
            sink,
            shared,
            state: RwLock::new(State::New),
        })
    }

    fn running(&self) -> Result<Arc<Running>, EngineError> {
        match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Running(running) => Ok(running.clone()),
            State::New | State::Starting | State::Stopped => Err(illegal_state()),
        }
    }

    /// What may be told before `start`, but not after `stop`.
    fn parts(&self) -> Result<&Shared, EngineError> {
        match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Stopped => Err(illegal_state()),
            State::New | State::Starting | State::Running(_) => Ok(&self.shared),
        }
    }

    /// Blocks: opens or adopts the kernel state and starts the threads.
    pub fn start(&self) -> Result<Vec<AdoptedPod>, EngineError> {
        self.exchange(|state| matches!(state, State::New), State::Starting)
            .map_err(|_| {
                EngineError::new(
                    ErrorCode::IllegalState,
                    "the engine has been started before",
                )
            })?;
        let opened = self.open();
        let (next, outcome) = match opened {
            Ok(running) => {
                let adopted = running.adopted();
                (State::Running(Arc::new(running)), Ok(adopted))
            }
            Err(error) => (State::New, Err(error)),
        };
        match self.exchange(|state| matches!(state, State::Starting), next) {
            Ok(_) => Ok(outcome?.into_iter().map(|uid| AdoptedPod { uid }).collect()),
            Err(State::Running(running)) => end(running).and(Err(illegal_state())),
            Err(_) => Err(illegal_state()),
        }
    }

    /// Puts `next` in place of a state that `expected` accepts, and gives that; else gives `next` back.
    fn exchange(&self, expected: fn(&State) -> bool, next: State) -> Result<State, State> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if expected(&state) {
            Ok(std::mem::replace(&mut *state, next))
        } else {
            Err(next)
        }
    }

    fn open(&self) -> Result<Running, EngineError> {
        // Not having the hard limit only means fewer flows; the accept loops live with that.
        if let Ok(limit) = ambit_intercept::sockets::raise_file_limit() {
            self.shared.capacity.set_descriptors(limit);
        }
        Running::open(&self.options, self.shared.clone(), self.sink.clone())
    }

    /// Blocks.
    pub fn enrol(&self, pod: PodSpec) -> Result<(), EngineError> {
        if pod.addresses.is_empty() {
            let message = format!(
                "the pod {} has no address yet; enrol it once it has",
                pod.uid
            );
            return Err(EngineError::new(ErrorCode::InvalidArgument, message));
        }
        self.running()?.enrol(pod)
    }

    /// Blocks.
    pub fn unenrol(&self, uid: &str) -> Result<(), EngineError> {
        self.running()?.unenrol(uid)
    }

    /// Blocks.
    pub fn forget(&self, uid: &str) -> Result<(), EngineError> {
        self.running()?.forget(uid)
    }

    pub fn set_identity(&self, certificate: IdentityCertificate) -> Result<(), EngineError> {
        self.parts()?.identities.set(&certificate)
    }

    pub fn remove_identity(&self, spiffe_id: &str) -> Result<(), EngineError> {
        self.parts()?.identities.remove(spiffe_id);
        Ok(())
    }

    pub fn set_workloads(&self, descriptors: Vec<WorkloadDescriptor>) -> Result<(), EngineError> {
        self.parts()?.directory.set_workloads(descriptors);
        Ok(())
    }

    pub fn remove_workloads(&self, uids: &[Arc<str>]) -> Result<(), EngineError> {
        self.parts()?.directory.remove_workloads(uids);
        Ok(())
    }

    pub fn set_services(&self, descriptors: Vec<ServiceDescriptor>) -> Result<(), EngineError> {
        self.parts()?.directory.set_services(descriptors);
        Ok(())
    }

    pub fn remove_services(&self, keys: &[Arc<str>]) -> Result<(), EngineError> {
        self.parts()?.directory.remove_services(keys);
        Ok(())
    }

    pub fn set_endpoint_set(&self, set: EndpointSet) -> Result<(), EngineError> {
        self.parts()?.directory.set_endpoint_set(set);
        Ok(())
    }

    pub fn remove_endpoint_set(&self, id: &str) -> Result<(), EngineError> {
        self.parts()?.directory.remove_endpoint_set(id);
        Ok(())
    }

    /// Over those of the same keys.
    pub fn set_names(&self, records: Vec<NameRecord>) -> Result<(), EngineError> {
        self.parts()?.names.set(records);
        Ok(())
    }

    pub fn remove_names(&self, keys: &[Arc<str>]) -> Result<(), EngineError> {
        self.parts()?.names.remove(keys);
        Ok(())
    }

    pub fn answer(&self, mut answers: Vec<Answer>) -> Result<(), EngineError> {
        let parts = self.parts()?;
        for answer in &mut answers {
            parts.directory.complete(&mut answer.verdict);
        }
        parts.decisions.answer(answers);
        Ok(())
    }

    pub fn invalidate(&self, generation: u64, keys: &[Arc<str>]) -> Result<(), EngineError> {
        self.parts()?.decisions.invalidate(generation, keys);
        Ok(())
    }

    pub fn flows(&self, pod: &str, after: u64, limit: usize) -> Result<Vec<FlowInfo>, EngineError> {
        Ok(self.parts()?.telemetry.flows(pod, after, limit))
    }

    pub fn inbound_flows(
        &self,
        pod: &str,
        after: u64,
        limit: usize,
    ) -> Result<InboundFlowPage, EngineError> {
        self.parts()?;
        let running = self.running();
        Ok(running.map_or_else(
            |_| InboundFlowPage::default(),
            |running| running.inbound_flows(pod, after, limit),
        ))
    }

    /// How many flows were told to end.
    pub fn close_inbound_flows(
        &self,
        pod: &str,
        ids: &[u64],
        reason: &str,
    ) -> Result<usize, EngineError> {
        self.parts()?;
        let running = self.running();
        Ok(running.map_or(0, |running| running.close_inbound_flows(pod, ids, reason)))
    }

    /// May be told before `start`.
    pub fn set_access_log_filter(&self, filter: AccessLogFilter) -> Result<(), EngineError> {
        self.parts()?.telemetry.set_access_log_filter(filter);
        Ok(())
    }

    /// Prometheus text: the traffic, the engine's own counters and, while it runs, the kernel's.
    pub fn metrics_text(&self) -> Result<String, EngineError> {
        let mut text = self.parts()?.telemetry.render();
        if let Ok(running) = self.running() {
            append_kernel_counters(&mut text, &running.counters());
        }
        Ok(text)
    }

    /// Blocks: asks the kernel.
    pub fn health(&self) -> Result<HealthReport, EngineError> {
        Ok(self.running()?.health())
    }

    /// Blocks: a connection to a port of an enrolled pod's own loopback.
    pub fn connect_to_pod(&self, uid: &str, port: u16) -> Result<OwnedFd, EngineError> {
        self.running()?.connect_to_pod(uid, port)
    }

    /// Blocks until the open flows ended or `deadline` passed.
    pub fn drain(&self, deadline: Duration) -> Result<DrainReport, EngineError> {
        Ok(self.running()?.drain(deadline))
    }

    /// Blocks: ends and joins every thread, and a drain under way. Afterwards each call is an `ILLEGAL_STATE` error.
    pub fn stop(&self) -> Result<(), EngineError> {
        let former = {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *state, State::Stopped)
        };
        match former {
            State::Stopped => return Err(illegal_state()),
            State::New | State::Starting => {}
            State::Running(running) => end(running)?,
        }
        self.shared.telemetry.shut_down();
        Ok(())
    }
}

/// Another call may hold the running engine for a moment longer; each is bounded in time, but not by us.
fn end(mut running: Arc<Running>) -> Result<(), EngineError> {
    const PATIENCE: u32 = 500;
    running.interrupt();
    for _ in 0..PATIENCE {
        match Arc::try_unwrap(running) {
            Ok(last) => {
                last.stop();
                return Ok(());
            }
            Err(shared) => running = shared,
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(EngineError::new(
        ErrorCode::Timeout,
        "another call still uses the engine; stop it from one thread only",
    ))
}

fn append_kernel_counters(text: &mut String, counters: &[(&'static str, u64)]) {
    text.push_str(
        "# HELP ambit_intercept_events_total What the programs in the kernel saw, by kind.\n",
    );
    text.push_str("# TYPE ambit_intercept_events_total counter\n");
    for (name, value) in counters {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "ambit_intercept_events_total{{event=\"{name}\"}} {value}"
        );
    }
}

/// Removes everything that an agent of `node` left in the kernel; says what it removed, in words.
pub fn detach(
    node: &str,
    bpffs: &Path,
    cgroup_root: &Path,
    host_proc: &Path,
) -> Result<Vec<String>, EngineError> {
    ambit_intercept::detach(node, bpffs, cgroup_root, host_proc)
        .map_err(|error| intercept_error("what an agent left could not be removed", error))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ambit_intercept::InterceptError;

    use super::running::intercept_error;
    use super::{append_kernel_counters, detach};
    use crate::error::ErrorCode;

    #[test]
    fn a_folder_that_is_no_bpffs_has_a_code_of_its_own() {
        let refused = detach(
            "node",
            Path::new("/proc"),
            Path::new("/proc"),
            Path::new("/proc"),
        );
        assert_eq!(refused.expect_err("refused").code, ErrorCode::BpffsUnusable);
    }

    #[test]
    fn what_the_machine_lacks_is_told_apart_from_what_went_wrong() {
        let feature = InterceptError::KernelFeature {
            feature: "sk_lookup",
            hint: "run Linux 5.17",
            source: None,
        };
        let cgroup = InterceptError::NotCgroupRoot {
            path: "/sys/fs/cgroup/cpu".into(),
        };
        let code = |error| intercept_error("x", error).code;
        assert_eq!(code(feature), ErrorCode::KernelFeatureMissing);
        assert_eq!(code(cgroup), ErrorCode::CgroupMissing);
    }

    #[test]
    fn the_kernels_counters_have_a_type() {
        let mut text = String::new();
        append_kernel_counters(&mut text, &[("captured", 3)]);
        assert!(text.contains("# TYPE ambit_intercept_events_total counter\n"));
        assert!(text.ends_with("ambit_intercept_events_total{event=\"captured\"} 3\n"));
    }
}
