//! HBONE: HTTP/2 CONNECT over mutual TLS. `client` opens streams to other nodes, `server` takes theirs in.

pub mod client;
pub mod headers;
mod keepalive;
pub mod pool;
pub mod server;
mod settings;
mod socket;

pub use settings::{MAX_STREAMS_PER_TUNNEL, PORT};

#[cfg(test)]
mod tests;
