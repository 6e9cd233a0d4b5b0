//! The life of interception on a node: open, ask, close.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::dns::DnsSockets;
use crate::error::{InterceptError, system};
use crate::features;
use crate::hooks::{self, Hooks, Maps, Opened};
use crate::lookup::{self, LookupTemplate};
use crate::options::{CapturedPod, Health, Options, PodNetwork, TamperingSink};
use crate::pins::Pins;
use crate::pod::PodState;
use crate::sys::Poller;
use crate::watch::Watcher;
use std::os::fd::AsFd;

/// Everything this process holds in the kernel. Shared freely between threads.
///
/// Dropping it is the orderly end: all stays pinned, so new connections are refused until the next process comes.
pub struct Interception {
    node: Arc<Node>,
    _watcher: Watcher,
}

/// What the public calls and the watching thread share.
pub(crate) struct Node {
    pub options: Options,
    pub pins: Pins,
    pub template: LookupTemplate,
    pub poller: Poller,
    pub sink: TamperingSink,
    hooks: Mutex<Hooks>,
    state: Mutex<State>,
}

/// The pods of this process and the maps that tell the kernel of them.
pub(crate) struct State {
    pub maps: Maps,
    pub pods: HashMap<Arc<str>, PodState>,
    pub tokens: HashMap<u64, Arc<str>>,
    pub next_token: u64,
}

impl Interception {
    /// Opens what an earlier process of this node pinned, or makes it, and registers this process as an engine.
    pub fn open(options: Options, sink: TamperingSink) -> Result<Self, InterceptError> {
        features::check(&options)?;
        let cgroup = features::cgroup_root(&options.cgroup_root, &options.host_proc)?;
        let config = features::hooks_config(&options)?;
        let pins = Pins::new(&options.bpffs, &options.node);
        pins.create()
            .map_err(system(format!("creating {}", pins.root().display())))?;
        let Opened {
            hooks,
            maps,
            shared,
        } = hooks::open(&pins, cgroup, &config).map_err(features::explain)?;
        let template = LookupTemplate::new(shared)?;
        prove_lookup(&template).map_err(features::explain)?;
        let poller = Poller::new().map_err(system("creating an epoll instance"))?;
        let state = State {
            maps,
            pods: HashMap::new(),
            tokens: HashMap::new(),
            next_token: 1,
        };
        let (hooks, state) = (Mutex::new(hooks), Mutex::new(state));
        let node = Arc::new(Node {
            options,
            pins,
            template,
            poller,
            sink,
            hooks,
            state,
        });
        let watcher =
            Watcher::start(Arc::clone(&node)).map_err(system("starting the watching thread"))?;
        Ok(Self {
            node,
            _watcher: watcher,
        })
    }

    /// Uids of pods that an earlier process left and this one has not enrolled. Each must be enrolled, or withdrawn and
    /// released.
    pub fn adopted(&self) -> Vec<Arc<str>> {
        let state = self.node.state();
        let pinned = self.node.pins.pods().unwrap_or_default();
        let unclaimed: BTreeSet<_> = pinned
            .into_iter()
            .filter(|uid| !state.pods.contains_key(uid.as_str()))
            .collect();
        unclaimed.into_iter().map(Arc::from).collect()
    }

    /// Captures a pod; from the return on, its new connections arrive at the listeners.
    pub fn enrol(&self, pod: &PodNetwork) -> Result<CapturedPod, InterceptError> {
        self.node.enrol(pod)
    }

    /// Follows changed addresses and probe ports of an enrolled pod. Its namespace must be the same.
    pub fn update(&self, pod: &PodNetwork) -> Result<(), InterceptError> {
        self.node.update(pod)
    }

    /// From the return on, an enrolled pod's name queries arrive at the socket; when it is closed, they go to the pod's
    /// resolver. Enrolling the pod anew ends this.
    pub fn capture_dns(&self, uid: &str) -> Result<DnsSockets, InterceptError> {
        self.node.capture_dns(uid)
    }

    /// Name queries go to the pod's resolver again.
    pub fn release_dns(&self, uid: &str) -> Result<(), InterceptError> {
        self.node.release_dns(uid)
    }

    /// Ends capture; rule and route stay for open flows. The caller closes its listeners and, after its flows have ended,
    /// calls [`release`](Self::release). Also right for an adopted pod that was not enrolled, or whose netns has gone. A
    /// process that has a successor only forgets the pod.
    pub fn withdraw(&self, uid: &str) -> Result<(), InterceptError> {
        self.node.withdraw(uid)
    }

    /// Takes the rest out of the pod's namespace: rule, route, settings, watch.
    pub fn release(&self, uid: &str) -> Result<(), InterceptError> {
        self.node.release(uid)
    }

    /// From now on pods' new connections are refused at once, unless a successor serves. For the time between this and the
    /// end of the process, in which open flows may still end.
    pub fn retire(&self) {
        self.node.hooks().retire();
    }

    /// Asks the kernel.
    pub fn health(&self) -> Health {
        let mut missing = self.node.hooks().missing(&self.node.pins);
        let state = self.node.state();
        let faults = state
            .pods
            .values()
            .filter_map(|pod| self.node.attachment_fault(pod).map(|what| (pod, what)));
        missing.extend(faults.map(|(pod, what)| format!("pod {}: {what}", pod.network.uid)));
        let replaced = state.pods.values().filter(|pod| pod.is_replaced());
        missing.extend(replaced.map(|pod| {
            let (uid, path) = (&pod.network.uid, pod.network.netns.display());
            format!("pod {uid}: {path} is another network namespace now, which is not captured")
        }));
        Health {
            effective: missing.is_empty(),
            missing,
        }
    }

    /// Name and value of each counter since the programs were first loaded.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        self.node.hooks().counters()
    }

    /// Orderly end, see the type.
    pub fn close(self) {}
}

impl Drop for Interception {
    fn drop(&mut self) {
        self.retire();
    }
}

impl Node {
    pub fn hooks(&self) -> MutexGuard<'_, Hooks> {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Loads one instance and lets it go, so that a kernel without the needed sk_lookup is told at start.
fn prove_lookup(template: &LookupTemplate) -> Result<(), InterceptError> {
    let listeners = lookup::new_listener_map().map_err(system("creating a map for listeners"))?;
    template
        .load(
            &crate::abi::LookupConfig {
                threads: 1,
                ..Default::default()
            },
            listeners.as_fd(),
        )
        .map(drop)
}
