//! The life of interception on a node.

use std::path::Path;
use std::sync::Arc;

use crate::error::InterceptError;
use crate::options::{CapturedPod, Health, Options, PodNetwork, TamperingSink};

/// Everything this process holds in the kernel. Shared freely between threads.
pub struct Interception {
    options: Options,
    sink: TamperingSink,
}

impl Interception {
    /// Opens what an earlier process of this node pinned, or makes it, and registers this process as an engine.
    pub fn open(options: Options, sink: TamperingSink) -> Result<Self, InterceptError> {
        Ok(Self { options, sink })
    }

    /// Uids of pods that an earlier process left captured. Each must be enrolled again, or withdrawn and released.
    pub fn adopted(&self) -> Vec<Arc<str>> {
        Vec::new()
    }

    /// Captures a pod; from the return on, its new connections arrive at the listeners.
    pub fn enrol(&self, pod: &PodNetwork) -> Result<CapturedPod, InterceptError> {
        let _ = (&self.options, &self.sink);
        Err(InterceptError::UnknownPod {
            uid: pod.uid.to_string(),
        })
    }

    /// Follows changed addresses and probe ports of an enrolled pod.
    pub fn update(&self, pod: &PodNetwork) -> Result<(), InterceptError> {
        Err(InterceptError::UnknownPod {
            uid: pod.uid.to_string(),
        })
    }

    /// Ends capture; rule and route stay for open flows. The caller closes its listeners and, after its flows have ended,
    /// calls [`release`](Self::release). Also right for an adopted pod that was not enrolled, or whose netns has gone.
    pub fn withdraw(&self, uid: &str) -> Result<(), InterceptError> {
        Err(InterceptError::UnknownPod {
            uid: uid.to_owned(),
        })
    }

    /// Takes the rest out of the pod's namespace: rule, route, settings, watch.
    pub fn release(&self, uid: &str) -> Result<(), InterceptError> {
        Err(InterceptError::UnknownPod {
            uid: uid.to_owned(),
        })
    }

    /// Asks the kernel.
    pub fn health(&self) -> Health {
        Health::default()
    }

    /// Name and value of each counter since the programs were first loaded.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    /// Orderly end: everything stays pinned, so new connections are refused until the next process comes.
    pub fn close(self) {}
}

/// Removes all that agents of `node` left in the kernel; in words, what that was.
pub fn detach(node: &str, bpffs: &Path, cgroup_root: &Path) -> Result<Vec<String>, InterceptError> {
    let _ = (node, bpffs, cgroup_root);
    Ok(Vec::new())
}
