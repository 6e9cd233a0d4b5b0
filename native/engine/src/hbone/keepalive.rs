//! HTTP/2 PING: finds peers that are gone without a word.

use h2::{Ping, PingPong};
use tokio::time::{sleep, timeout};

use super::settings::{PING_INTERVAL, PING_TIMEOUT};

/// Asks at once. A peer's first frame is its SETTINGS (RFC 9113, 3.4), so that these are known once it has answered.
pub async fn has_answered(ping_pong: &mut PingPong) -> bool {
    let answer = timeout(PING_TIMEOUT, ping_pong.ping(Ping::opaque()));
    matches!(answer.await, Ok(Ok(_)))
}

/// Resolves when the peer has stopped answering.
pub async fn until_dead(ping_pong: Option<PingPong>) {
    let Some(mut ping_pong) = ping_pong else {
        return std::future::pending().await;
    };
    loop {
        sleep(PING_INTERVAL).await;
        match timeout(PING_TIMEOUT, ping_pong.ping(Ping::opaque())).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}
