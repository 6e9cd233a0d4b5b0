//! What the runtime is told when a command fails: a code of the CNI specification or of our own, and two texts.

use serde_json::{Value, json};

/// Codes from 100 on are the plugin's own; the others are the specification's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    InvalidEnvironment = 4,
    NotDecodable = 6,
    InvalidConfiguration = 7,
    TryAgainLater = 11,
    Refused = 100,
}

/// A failed command. `message` stands in the pod's events; `details` say what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: Code,
    pub message: String,
    pub details: String,
}

impl Failure {
    pub fn new(code: Code, message: impl Into<String>, details: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: details.into(),
        }
    }

    /// As the specification's error object. Its key is `msg`; some runtimes show that alone, so it holds all.
    pub fn to_json(&self, cni_version: &str) -> Value {
        let message = format!("ambit-cni: {}: {}", self.message, self.details);
        json!({ "cniVersion": cni_version, "code": self.code as u32, "msg": message, "details": self.details })
    }
}
