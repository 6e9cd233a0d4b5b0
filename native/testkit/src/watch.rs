//! Waits for many connections at once to be ended by the other side.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use socket2::Socket;

/// Watches until `wanted` connections have ended or `limit` has passed, and takes those that ended out of `open`. Times are
/// milliseconds since the epoch.
pub fn watch(open: &mut BTreeMap<usize, Socket>, wanted: usize, limit: Duration) -> Value {
    let deadline = Instant::now() + limit;
    let mut watched: Vec<(usize, libc::pollfd)> = open.iter().map(interest).collect();
    let (mut ended, mut resets) = (Vec::new(), 0);
    let (mut first_at, mut last_at) = (None, None);
    while ended.len() < wanted {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let due = match poll(&mut watched, left) {
            Ok(due) => due,
            Err(error) => return json!({ "event": "watch", "error": error.to_string() }),
        };
        if due.is_empty() {
            continue;
        }
        last_at = Some(now());
        first_at = first_at.or(last_at);
        watched.retain(|(id, _)| !due.contains_key(id));
        resets += due.values().filter(|reset| **reset).count();
        ended.extend(due.into_keys());
    }
    for id in &ended {
        open.remove(id);
    }
    json!({
        "event": "watch", "ended": ended.len(), "resets": resets, "open": open.len(),
        "firstAt": first_at, "lastAt": last_at, "ids": ended, "error": null,
    })
}

fn interest((id, socket): (&usize, &Socket)) -> (usize, libc::pollfd) {
    let descriptor = libc::pollfd {
        fd: socket.as_raw_fd(),
        events: libc::POLLRDHUP,
        revents: 0,
    };
    (*id, descriptor)
}

/// Which connections ended by now, and whether by a reset.
fn poll(
    watched: &mut [(usize, libc::pollfd)],
    limit: Duration,
) -> io::Result<BTreeMap<usize, bool>> {
    let mut descriptors: Vec<_> = watched.iter().map(|(_, descriptor)| *descriptor).collect();
    let milliseconds = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX).max(1);
    let count = libc::nfds_t::try_from(descriptors.len()).unwrap_or(libc::nfds_t::MAX);
    // SAFETY: as many valid pollfds as the count says.
    if unsafe { libc::poll(descriptors.as_mut_ptr(), count, milliseconds) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let ended = watched.iter().zip(&descriptors);
    Ok(ended
        .filter(|(_, polled)| polled.revents != 0)
        .map(|((id, _), polled)| (*id, polled.revents & libc::POLLERR != 0))
        .collect())
}

fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64() * 1000.0
}
