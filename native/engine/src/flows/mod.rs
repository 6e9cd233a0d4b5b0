//! The way of each kind of flow from its listener to its relay.

mod accept;
mod admissions;
mod capacity;
mod client;
mod context;
mod dial;
mod dial_tls;
mod entry;
mod gate;
mod handover;
mod handshakes;
mod inbound_hbone;
mod inbound_plaintext;
mod join;
mod node_local;
mod outbound;
mod refusal;
mod route;
mod tunnel;

pub use accept::{PodListeners, serve};
pub use admissions::{Admissions, Withdrawal, page};
pub use context::{Pod, Shared, ThreadContext};
pub use gate::Gate;
pub use node_local::Neighbour;
pub use refusal::{Reason, RefusalCounters, Refused};
pub use route::{Dialler, Upstream, find};
pub use tunnel::TunnelStream;
