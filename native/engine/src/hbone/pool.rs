//! The tunnels of one engine thread, by who talks to whom. Entries vanish when nobody uses them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::client::TunnelError;
use super::settings::{IDLE_RELEASE, MAX_STREAMS_PER_TUNNEL, SETTLE_TIMEOUT};

/// A failed connect answers everybody for so long, and up to half as long again.
const FAILURE_MEMORY: Duration = Duration::from_millis(400);

/// Never shared between pods, and a changed uid at the same address is another tunnel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TunnelKey {
    pub source_pod: Arc<str>,
    pub source: Option<IpAddr>,
    pub destination_pod: Option<Arc<str>>,
    pub destination: IpAddr,
    pub identities: Arc<[Arc<str>]>,
}

/// One HTTP/2 connection that can take streams.
pub struct Tunnel {
    sender: SendRequest<Bytes>,
    streams: Cell<usize>,
    idle_since: Cell<Instant>,
    broken: Cell<bool>,
    /// The peer has said how many streams it takes.
    settled: Cell<bool>,
    /// Tells those who wait for that, also that it will not come.
    news: Rc<Notify>,
    released: Notify,
}

impl Tunnel {
    pub fn new(sender: SendRequest<Bytes>) -> Rc<Self> {
        Rc::new(Tunnel {
            sender,
            streams: Cell::new(0),
            idle_since: Cell::new(Instant::now()),
            broken: Cell::new(false),
            settled: Cell::new(false),
            news: Rc::default(),
            released: Notify::new(),
        })
    }

    /// Resolves when the tunnel has been idle for long, or its pod has gone.
    pub async fn until_released(self: Rc<Self>) {
        loop {
            let idle_end = self.idle_since.get() + IDLE_RELEASE;
            let idle = self.streams.get() == 0;
            if idle && idle_end <= Instant::now() {
                self.broken.set(true);
                return;
            }
            let wake = if idle {
                idle_end
            } else {
                Instant::now() + IDLE_RELEASE
            };
            tokio::select! {
                () = sleep_until(wake) => {}
                () = self.released.notified() => return,
            }
        }
    }

    /// The peer's limits are known from now on.
    pub fn settle(&self) {
        self.settled.set(true);
        self.news.notify_waiters();
    }

    /// One stream may go before the peer's limit is known, or every first flow would wait for a round trip more; and one
    /// where the limit is none, so that somebody hears of it rather than connects anew without end.
    fn has_room(&self) -> bool {
        let limit = if self.settled.get() {
            let allowed = self.sender.current_max_send_streams();
            allowed.clamp(1, MAX_STREAMS_PER_TUNNEL)
        } else {
            1
        };
        !self.broken.get() && self.streams.get() < limit
    }

    fn lease(self: &Rc<Self>) -> Lease {
        self.streams.set(self.streams.get() + 1);
        Lease {
            tunnel: self.clone(),
        }
    }
}

/// One stream's place on a tunnel; dropping it gives the place back.
pub struct Lease {
    tunnel: Rc<Tunnel>,
}

impl Lease {
    pub fn sender(&self) -> &SendRequest<Bytes> {
        &self.tunnel.sender
    }

    /// The tunnel takes no more streams (GOAWAY, or it broke); those that it has may end.
    pub fn retire(&self) {
        self.tunnel.broken.set(true);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.tunnel.streams.set(self.tunnel.streams.get() - 1);
        self.tunnel.idle_since.set(Instant::now());
    }
}

#[derive(Default)]
struct Entry {
    tunnels: Vec<Rc<Tunnel>>,
    /// Present while a connect is under way; those who wait are told when it has ended.
    connecting: Option<Rc<Notify>>,
    failure: Option<(Instant, TunnelError)>,
}

impl Entry {
    fn is_unused(&self, now: Instant) -> bool {
        let forgotten = self.failure.as_ref().is_none_or(|(until, _)| *until <= now);
        self.tunnels.is_empty() && self.connecting.is_none() && forgotten
    }
}

enum Next {
    Use(Lease),
    Fail(TunnelError),
    Wait(Rc<Notify>),
    Settle(Rc<Notify>),
    Connect(Rc<Notify>),
}

#[derive(Default)]
pub struct Pool {
    entries: RefCell<HashMap<TunnelKey, Entry>>,
    jitter: RandomState,
}

impl Pool {
    pub fn new() -> Rc<Self> {
        Rc::default()
    }

    /// A place on a tunnel. `connect` runs at most once at a time per key, in a task of its own, so that a flow that gives
    /// up does not take the others' connect with it; it resolves with a tunnel and the future that drives it.
    pub async fn lease<Connect, Driver>(
        self: &Rc<Self>,
        key: &TunnelKey,
        connect: impl Fn() -> Connect,
    ) -> Result<Lease, TunnelError>
    where
        Connect: Future<Output = Result<(Rc<Tunnel>, Driver), TunnelError>> + 'static,
        Driver: Future<Output = ()> + 'static,
    {
        loop {
            let ended = match self.next(key) {
                Next::Use(lease) => return Ok(lease),
                Next::Fail(error) => return Err(error),
                Next::Wait(ended) => ended,
                Next::Settle(news) => {
                    let told = timeout(SETTLE_TIMEOUT, news.notified()).await;
                    told.map_err(|_| TunnelError::AnswerTimeout)?;
                    continue;
                }
                Next::Connect(ended) => {
                    tokio::task::spawn_local(connect_for(
                        Rc::downgrade(self),
                        key.clone(),
                        ended.clone(),
                        connect(),
                    ));
                    ended
                }
            };
            ended.notified().await;
        }
    }

    fn next(&self, key: &TunnelKey) -> Next {
        let mut entries = self.entries.borrow_mut();
        let entry = entries.entry(key.clone()).or_default();
        entry.tunnels.retain(|tunnel| !tunnel.broken.get());
        if let Some(tunnel) = entry.tunnels.iter().find(|tunnel| tunnel.has_room()) {
            return Next::Use(tunnel.lease());
        }
        match &entry.failure {
            Some((until, error)) if *until > Instant::now() => return Next::Fail(error.clone()),
            _ => entry.failure = None,
        }
        if let Some(ended) = &entry.connecting {
            return Next::Wait(ended.clone());
        }
        if let Some(fresh) = entry.tunnels.iter().find(|tunnel| !tunnel.settled.get()) {
            return Next::Settle(fresh.news.clone());
        }
        let ended = Rc::new(Notify::new());
        entry.connecting = Some(ended.clone());
        Next::Connect(ended)
    }

    fn update(&self, key: &TunnelKey, change: impl FnOnce(&mut Entry)) {
        let mut entries = self.entries.borrow_mut();
        if let Some(entry) = entries.get_mut(key) {
            change(entry);
            if entry.is_unused(Instant::now()) {
                entries.remove(key);
            }
        }
    }

    /// Takes note that a connect has ended; whether the entry is still the one that began it.
    fn ends(&self, key: &TunnelKey, ended: &Rc<Notify>) -> bool {
        let mut entries = self.entries.borrow_mut();
        let entry = entries.get_mut(key);
        let own = entry.filter(|entry| {
            let connecting = entry.connecting.as_ref();
            connecting.is_some_and(|held| Rc::ptr_eq(held, ended))
        });
        own.map(|entry| entry.connecting = None).is_some()
    }

    fn memory_end(&self, key: &TunnelKey) -> Instant {
        let share = (self.jitter.hash_one((key, Instant::now())) % 512) as u32;
        Instant::now() + FAILURE_MEMORY + FAILURE_MEMORY * share / 1024
    }

    /// Ends the tunnels from and to a pod that is going away.
    pub fn forget(&self, pod: &str) {
        self.entries.borrow_mut().retain(|key, entry| {
            let concerned = *key.source_pod == *pod || key.destination_pod.as_deref() == Some(pod);
            if concerned {
                entry.tunnels.iter().for_each(|tunnel| {
                    tunnel.broken.set(true);
                    tunnel.released.notify_one();
                });
            }
            // Who waits for a connect of the entry is told by the connect itself, at its end.
            !concerned
        });
    }

    /// Tunnels open now.
    pub fn tunnels(&self) -> usize {
        self.entries
            .borrow()
            .values()
            .map(|entry| entry.tunnels.len())
            .sum()
    }

    /// Keys that anything is known of.
    pub fn entries(&self) -> usize {
        self.entries.borrow().len()
    }
}

async fn connect_for<Connect, Driver>(
    pool: Weak<Pool>,
    key: TunnelKey,
    ended: Rc<Notify>,
    connect: Connect,
) where
    Connect: Future<Output = Result<(Rc<Tunnel>, Driver), TunnelError>>,
    Driver: Future<Output = ()> + 'static,
{
    let outcome = connect.await;
    if let Some(pool) = pool.upgrade() {
        match outcome {
            // The entry is gone, or another one's, where its pod was forgotten meanwhile: the tunnel is dropped.
            Ok(_) if !pool.ends(&key, &ended) => {}
            Ok((tunnel, driver)) => {
                pool.update(&key, |entry| entry.tunnels.push(tunnel.clone()));
                tokio::task::spawn_local(run(Rc::downgrade(&pool), key, tunnel, driver));
            }
            Err(error) => {
                pool.ends(&key, &ended);
                remember(&pool, key, error);
            }
        }
    }
    // In every case, or flows would wait for a connect that nobody knows of any more.
    ended.notify_waiters();
}

fn remember(pool: &Rc<Pool>, key: TunnelKey, error: TunnelError) {
    let until = pool.memory_end(&key);
    pool.update(&key, |entry| entry.failure = Some((until, error)));
    let pool = Rc::downgrade(pool);
    tokio::task::spawn_local(async move {
        sleep_until(until).await;
        if let Some(pool) = pool.upgrade() {
            pool.update(&key, |_| {});
        }
    });
}

async fn run(
    pool: Weak<Pool>,
    key: TunnelKey,
    tunnel: Rc<Tunnel>,
    driver: impl Future<Output = ()>,
) {
    driver.await;
    tunnel.broken.set(true);
    if let Some(pool) = pool.upgrade() {
        // As good as a failed connect: those who wait would otherwise try one by one what just failed.
        if !tunnel.settled.get() {
            remember(&pool, key.clone(), TunnelError::EndedEarly);
        }
        pool.update(&key, |entry| {
            entry.tunnels.retain(|held| !Rc::ptr_eq(held, &tunnel))
        });
    }
    tunnel.news.notify_waiters();
}
