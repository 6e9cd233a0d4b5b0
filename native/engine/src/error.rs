//! The engine's error: a stable code that JavaScript sees as `error.code`, and a text that tells an operator what to do.

use std::error::Error;
use std::fmt;

/// Stable codes; never renamed once released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// Called before `start` or after `stop`.
    IllegalState,
    InvalidArgument,
    UnknownPod,
    /// Certificate, key or roots that cannot be used.
    InvalidIdentity,
    /// The kernel refused; the cause names the step.
    Intercept,
    /// The kernel is too old, or built without something that is needed; the text names it.
    KernelFeatureMissing,
    /// The folder for pins is no bpffs.
    BpffsUnusable,
    /// The folder given is no root of cgroup2.
    CgroupMissing,
    NotPermitted,
    /// What was to be removed is in use.
    AgentRuns,
    Io,
    /// A limit of time ran out.
    Timeout,
}

impl ErrorCode {
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorCode::IllegalState => "ILLEGAL_STATE",
            ErrorCode::InvalidArgument => "INVALID_ARGUMENT",
            ErrorCode::UnknownPod => "UNKNOWN_POD",
            ErrorCode::InvalidIdentity => "INVALID_IDENTITY",
            ErrorCode::Intercept => "INTERCEPT",
            ErrorCode::KernelFeatureMissing => "KERNEL_FEATURE_MISSING",
            ErrorCode::BpffsUnusable => "BPFFS_UNUSABLE",
            ErrorCode::CgroupMissing => "CGROUP_MISSING",
            ErrorCode::NotPermitted => "NOT_PERMITTED",
            ErrorCode::AgentRuns => "AGENT_RUNS",
            ErrorCode::Io => "IO",
            ErrorCode::Timeout => "TIMEOUT",
        }
    }
}

type Cause = Box<dyn Error + Send + Sync + 'static>;

#[derive(Debug)]
pub struct EngineError {
    pub code: ErrorCode,
    pub message: String,
    cause: Option<Cause>,
}

impl EngineError {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        EngineError {
            code,
            message: message.into(),
            cause: None,
        }
    }

    pub fn caused(code: ErrorCode, message: impl Into<String>, cause: impl Into<Cause>) -> Self {
        EngineError {
            code,
            message: message.into(),
            cause: Some(cause.into()),
        }
    }
}

impl fmt::Display for EngineError {
    /// The whole cause chain in one line, since the boundary carries a text only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl Error for EngineError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause
            .as_deref()
            .map(|cause| cause as &(dyn Error + 'static))
    }
}
