//! Waits for many connections at once to be ended by the other side.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use socket2::Socket;

use crate::system::Epoll;

/// Ends that are taken at once.
const BATCH: usize = 256;

/// What has ended so far; times are milliseconds since the epoch.
#[derive(Default)]
struct Ended {
    ids: Vec<usize>,
    resets: usize,
    first_at: Option<f64>,
    last_at: Option<f64>,
}

/// Watches until `wanted` connections have ended or `limit` has passed, and takes those that ended out of `open`.
pub fn watch(open: &mut BTreeMap<usize, Socket>, wanted: usize, limit: Duration) -> Value {
    match wait(open, wanted, Instant::now() + limit) {
        Ok(ended) => {
            ended.ids.iter().for_each(|id| drop(open.remove(id)));
            json!({
                "event": "watch", "ended": ended.ids.len(), "resets": ended.resets, "open": open.len(),
                "firstAt": ended.first_at, "lastAt": ended.last_at, "ids": ended.ids, "error": null,
            })
        }
        Err(error) => json!({ "event": "watch", "error": error.to_string() }),
    }
}

fn wait(open: &BTreeMap<usize, Socket>, wanted: usize, deadline: Instant) -> io::Result<Ended> {
    let queue = Epoll::new()?;
    for (id, socket) in open {
        // Each tells of its end once.
        let interest = libc::EPOLLRDHUP | libc::EPOLLONESHOT;
        queue.add(socket.as_raw_fd(), interest, *id as u64)?;
    }
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; BATCH];
    let mut ended = Ended::default();
    while ended.ids.len() < wanted && Instant::now() < deadline {
        let count = queue.wait(&mut events, deadline - Instant::now())?;
        if count > 0 {
            ended.take(&events[..count]);
        }
    }
    Ok(ended)
}

impl Ended {
    fn take(&mut self, events: &[libc::epoll_event]) {
        self.last_at = Some(now());
        self.first_at = self.first_at.or(self.last_at);
        for event in events {
            self.resets += usize::from(event.events & libc::EPOLLERR as u32 != 0);
            self.ids.push(event.u64 as usize);
        }
    }
}

fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64() * 1000.0
}
