//! Interception: loads and pins the eBPF programs, prepares pods' network namespaces and makes sockets in them. Knows
//! nothing of flows, identities or policies.

mod error;
mod interception;
mod netns;
mod options;
pub mod sockets;
mod sys;

pub use error::InterceptError;
pub use interception::{Interception, detach};
pub use netns::Netns;
pub use options::{
    CapturedPod, Health, MAX_ADDRESSES, MAX_THREADS, Options, PodNetwork, Tampering, TamperingSink,
    ThreadListeners,
};
