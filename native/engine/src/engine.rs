//! The engine as its owner sees it. Methods that touch the kernel block; call them from a thread of your own.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::api::{
    AdoptedPod, Answer, DrainReport, EndpointSet, EngineOptions, EventSink, FlowInfo, HealthReport,
    IdentityCertificate, PodSpec, ServiceDescriptor, WorkloadDescriptor,
};
use crate::error::{EngineError, ErrorCode};

/// `Send + Sync`; every method takes `&self`, so one `Arc<Engine>` serves the control thread and JavaScript's.
pub struct Engine {
    _options: EngineOptions,
    _sink: Arc<dyn EventSink>,
}

fn not_started() -> EngineError {
    EngineError::new(
        ErrorCode::IllegalState,
        "the engine is not running; call start first and nothing after stop",
    )
}

impl Engine {
    /// Makes the engine's parts; touches neither kernel nor network.
    pub fn new(options: EngineOptions, sink: Arc<dyn EventSink>) -> Result<Engine, EngineError> {
        Ok(Engine {
            _options: options,
            _sink: sink,
        })
    }

    /// Blocks: opens or adopts the kernel state and starts the threads.
    pub fn start(&self) -> Result<Vec<AdoptedPod>, EngineError> {
        Err(not_started())
    }

    /// Blocks.
    pub fn enrol(&self, _pod: PodSpec) -> Result<(), EngineError> {
        Err(not_started())
    }

    /// Blocks.
    pub fn unenrol(&self, _uid: &str) -> Result<(), EngineError> {
        Err(not_started())
    }

    /// Blocks.
    pub fn forget(&self, _uid: &str) -> Result<(), EngineError> {
        Err(not_started())
    }

    pub fn set_identity(&self, _certificate: IdentityCertificate) -> Result<(), EngineError> {
        Err(not_started())
    }

    pub fn remove_identity(&self, _spiffe_id: &str) -> Result<(), EngineError> {
        Err(not_started())
    }

    pub fn set_workloads(&self, _descriptors: Vec<WorkloadDescriptor>) -> Result<(), EngineError> {
        Err(not_started())
    }

    pub fn remove_workloads(&self, _uids: &[Arc<str>]) -> Result<(), EngineError> {
        Err(not_started())
    }

    pub fn set_services(&self, _descriptors: Vec<ServiceDescriptor>) -> Result<(), EngineError> {
        Err(not_started())
    }

    pub fn remove_services(&self, _keys: &[Arc<str>]) -> Result<(), EngineError> {
        Err(not_started())
    }

    pub fn set_endpoint_set(&self, _set: EndpointSet) -> Result<(), EngineError> {
        Err(not_started())
    }

    pub fn remove_endpoint_set(&self, _id: &str) -> Result<(), EngineError> {
        Err(not_started())
    }

    pub fn answer(&self, _answers: Vec<Answer>) -> Result<(), EngineError> {
        Err(not_started())
    }

    pub fn invalidate(&self, _generation: u64, _keys: &[Arc<str>]) -> Result<(), EngineError> {
        Err(not_started())
    }

    pub fn flows(&self) -> Result<Vec<FlowInfo>, EngineError> {
        Err(not_started())
    }

    pub fn close_flows(&self, _ids: &[u64], _reason: &str) -> Result<(), EngineError> {
        Err(not_started())
    }

    pub fn metrics_text(&self) -> Result<String, EngineError> {
        Err(not_started())
    }

    /// Blocks: asks the kernel.
    pub fn health(&self) -> Result<HealthReport, EngineError> {
        Err(not_started())
    }

    /// Blocks until the open flows ended or `deadline` passed.
    pub fn drain(&self, _deadline: Duration) -> Result<DrainReport, EngineError> {
        Err(not_started())
    }

    /// Blocks: ends and joins every thread. Afterwards each call is an `ILLEGAL_STATE` error.
    pub fn stop(&self) -> Result<(), EngineError> {
        Err(not_started())
    }
}

/// Removes everything that an agent of `node` left in the kernel; says what it removed, in words.
pub fn detach(_node: &str, _bpffs: &Path, _cgroup_root: &Path) -> Result<Vec<String>, EngineError> {
    Err(not_started())
}
