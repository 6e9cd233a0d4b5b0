//! Interception: loads and pins the eBPF programs, prepares pods' network namespaces and makes sockets in them. Knows
//! nothing of flows, identities or policies.

#[doc(hidden)]
pub mod abi;
mod bpf;
pub mod datagrams;
mod departure;
mod detach;
mod dns;
mod dns_rules;
mod engines;
mod enrolment;
mod error;
mod features;
mod hooks;
mod interception;
mod listeners;
mod lookup;
mod netlink;
mod netns;
mod options;
mod pins;
mod pod;
mod routing;
mod settings;
pub mod sockets;
mod sys;
mod watch;

pub use detach::detach;
pub use dns::DnsSockets;
pub use error::InterceptError;
pub use interception::Interception;
pub use netns::Netns;
pub use options::{
    CapturedPod, GUARDED_PORTS, HANDOVER_PORT, Health, MAX_ADDRESSES, MAX_THREADS, OWN_MARK,
    Options, PodNetwork, Tampering, TamperingSink, ThreadListeners,
};
