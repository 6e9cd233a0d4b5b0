//! The engine: carries the bytes of captured connections as the decisions of its owner say. Knows nothing of Node.

pub mod api;
pub mod decisions;
pub mod directory;
pub mod dns;
pub mod drain;
pub mod engine;
pub mod error;
pub mod flows;
pub mod hbone;
pub mod proxy_protocol;
pub mod relay;
pub mod telemetry;
pub mod tls;
