//! Name queries of pods: answered from the names of the mesh, everything else forwarded to the resolver that was asked.

mod answer;
mod forward;
mod message;
mod messages;
mod metrics;
mod reverse;
mod server;
mod stream;
mod table;

pub use metrics::DnsMetrics;
pub use server::{Captured, Captures, serve};
pub use stream::serve as serve_stream;
pub use table::NameTable;

/// Where name servers listen.
pub const PORT: u16 = 53;
