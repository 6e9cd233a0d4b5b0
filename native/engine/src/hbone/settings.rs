//! The HTTP/2 settings that stock peers use, so that both ends are tuned alike.

use std::time::Duration;

pub const PORT: u16 = 15008;
pub const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
/// Four times a stream's: one stalled stream must not stop the others.
pub const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
pub const FRAME_SIZE: u32 = 1024 * 1024;
pub const CLIENT_HEADER_LIST: u32 = 16 * 1024;
pub const SERVER_HEADER_LIST: u32 = 64 * 1024;
pub const CLIENT_SEND_BUFFER: usize = STREAM_WINDOW as usize;
pub const SERVER_SEND_BUFFER: usize = 400 * 1024;
pub const SERVER_MAX_STREAMS: u32 = 200;
pub const MAX_STREAMS_PER_TUNNEL: usize = 100;
/// Streams that a client may open and reset before we took them; more is an attack, not haste.
pub const SERVER_PENDING_RESETS: usize = 100;
pub const PING_INTERVAL: Duration = Duration::from_secs(10);
pub const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How long streams wait for a new peer to say how many it takes.
pub const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);
pub const IDLE_RELEASE: Duration = Duration::from_secs(300);
/// What rustls may seal before the socket takes it. The default of 64 KiB costs bulk streams a fifth of their speed.
pub const TLS_BATCH: usize = 512 * 1024;

pub fn client() -> h2::client::Builder {
    let mut builder = h2::client::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_SIZE)
        .max_header_list_size(CLIENT_HEADER_LIST)
        .max_send_buffer_size(CLIENT_SEND_BUFFER)
        .initial_max_send_streams(MAX_STREAMS_PER_TUNNEL)
        .enable_push(false);
    builder
}

pub fn server() -> h2::server::Builder {
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_SIZE)
        .max_header_list_size(SERVER_HEADER_LIST)
        .max_send_buffer_size(SERVER_SEND_BUFFER)
        .max_concurrent_streams(SERVER_MAX_STREAMS)
        .max_pending_accept_reset_streams(SERVER_PENDING_RESETS);
    builder
}
