use std::cell::Cell;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;
use tokio::time::{advance, sleep};

use crate::hbone::client::{TunnelError, drive};
use crate::hbone::pool::{Lease, Pool, Tunnel, TunnelKey};
use crate::hbone::settings;

/// On a clock of its own, which jumps where everything waits.
fn run<T>(test: impl Future<Output = T>) -> T {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().start_paused(true);
    builder
        .build_local(LocalOptions::default())
        .expect("runtime")
        .block_on(test)
}

fn key(source_pod: &str) -> TunnelKey {
    TunnelKey {
        source_pod: source_pod.into(),
        source: None,
        destination_pod: Some("destination".into()),
        destination: IpAddr::V4(Ipv4Addr::LOCALHOST),
        identities: Arc::from([Arc::from("spiffe://cluster.local/ns/a/sa/b")]),
    }
}

/// A peer that counts who connects; each connection is a pipe to an HTTP/2 server.
#[derive(Clone, Default)]
struct Peer {
    connects: Rc<Cell<usize>>,
    refuse: Rc<Cell<bool>>,
    go_away: Rc<Notify>,
    /// Streams that it takes at once, where it is not the usual number.
    streams: Rc<Cell<Option<u32>>>,
    hang_up: Rc<Cell<bool>>,
}

impl Peer {
    async fn connect(
        self,
    ) -> Result<(Rc<Tunnel>, impl Future<Output = ()> + 'static), TunnelError> {
        self.connects.set(self.connects.get() + 1);
        sleep(Duration::from_millis(10)).await;
        if self.refuse.get() {
            let error = io::Error::from(io::ErrorKind::ConnectionRefused);
            return Err(TunnelError::Connect(
                ([127, 0, 0, 1], 1).into(),
                Arc::new(error),
            ));
        }
        let (near, far) = tokio::io::duplex(1 << 16);
        tokio::task::spawn_local(self.clone().serve(far));
        let (sender, connection) = settings::client()
            .handshake::<_, Bytes>(near)
            .await
            .map_err(|error| TunnelError::Http2(Arc::new(error)))?;
        let tunnel = Tunnel::new(sender);
        let (fresh, released) = (tunnel.clone(), tunnel.clone().until_released());
        Ok((tunnel, drive(connection, move || fresh.settle(), released)))
    }

    async fn serve(self, io: tokio::io::DuplexStream) {
        if self.hang_up.get() {
            return sleep(Duration::from_millis(10)).await;
        }
        let mut settings = settings::server();
        if let Some(streams) = self.streams.get() {
            settings.max_concurrent_streams(streams);
        }
        let Ok(mut connection) = settings.handshake::<_, Bytes>(io).await else {
            return;
        };
        loop {
            tokio::select! {
                next = connection.accept() => if !matches!(next, Some(Ok(_))) { return },
                () = self.go_away.notified() => connection.graceful_shutdown(),
            }
        }
    }

    async fn lease(&self, pool: &Rc<Pool>, key: &TunnelKey) -> Result<Lease, TunnelError> {
        pool.lease(key, || self.clone().connect()).await
    }
}

async fn leases(peer: &Peer, pool: &Rc<Pool>, count: usize) -> Vec<Result<Lease, TunnelError>> {
    let tasks: Vec<_> = (0..count)
        .map(|_| {
            let (peer, pool) = (peer.clone(), pool.clone());
            tokio::task::spawn_local(async move { peer.lease(&pool, &key("source")).await })
        })
        .collect();
    let mut leases = Vec::new();
    for task in tasks {
        leases.push(task.await.expect("joined"));
    }
    leases
}

#[test]
fn many_flows_at_once_make_one_connection() {
    run(async {
        let (peer, pool) = (Peer::default(), Pool::new());
        assert!(leases(&peer, &pool, 50).await.iter().all(Result::is_ok));
        assert_eq!(peer.connects.get(), 1);
    });
}

#[test]
fn a_full_tunnel_gets_a_second_one_beside_it() {
    run(async {
        let (peer, pool) = (Peer::default(), Pool::new());
        let held = leases(&peer, &pool, 150).await;
        assert!(held.iter().all(Result::is_ok));
        assert_eq!((peer.connects.get(), pool.tunnels()), (2, 2));
    });
}

#[test]
fn a_burst_onto_a_new_tunnel_keeps_to_what_the_peer_takes() {
    run(async {
        let (peer, pool) = (Peer::default(), Pool::new());
        peer.streams.set(Some(10));
        let held = leases(&peer, &pool, 25).await;
        assert!(held.iter().all(Result::is_ok));
        assert_eq!((peer.connects.get(), pool.tunnels()), (3, 3));
    });
}

#[test]
fn a_peer_that_takes_no_streams_is_not_connected_to_without_end() {
    run(async {
        let (peer, pool) = (Peer::default(), Pool::new());
        peer.streams.set(Some(0));
        let held = leases(&peer, &pool, 3).await;
        assert!(held.iter().all(Result::is_ok));
        assert_eq!(peer.connects.get(), 3);
    });
}

#[test]
fn a_peer_that_hangs_up_as_the_tunnel_begins_is_tried_once_for_all_who_wait() {
    run(async {
        let (peer, pool) = (Peer::default(), Pool::new());
        peer.hang_up.set(true);
        let leases = leases(&peer, &pool, 20).await;
        let early = |lease: &&Result<Lease, _>| matches!(lease, Err(TunnelError::EndedEarly));
        assert_eq!(leases.iter().filter(early).count(), 19);
        assert_eq!(peer.connects.get(), 1);
    });
}

#[test]
fn pods_never_share_a_tunnel() {
    run(async {
        let (peer, pool) = (Peer::default(), Pool::new());
        let _one = peer.lease(&pool, &key("one")).await.expect("lease");
        let _other = peer.lease(&pool, &key("other")).await.expect("lease");
        assert_eq!(peer.connects.get(), 2);
    });
}

#[test]
fn a_failure_answers_everybody_and_is_forgotten_soon() {
    run(async {
        let (peer, pool) = (Peer::default(), Pool::new());
        peer.refuse.set(true);
        assert!(leases(&peer, &pool, 20).await.iter().all(Result::is_err));
        assert!(peer.lease(&pool, &key("source")).await.is_err());
        assert_eq!(peer.connects.get(), 1);
        sleep(Duration::from_millis(700)).await;
        assert_eq!(pool.entries(), 0);
        peer.refuse.set(false);
        assert!(peer.lease(&pool, &key("source")).await.is_ok());
    });
}

#[test]
fn a_flow_that_gives_up_leaves_the_connect_to_the_others() {
    run(async {
        let (peer, pool) = (Peer::default(), Pool::new());
        let source = key("source");
        let impatient =
            tokio::time::timeout(Duration::from_millis(1), peer.lease(&pool, &source)).await;
        assert!(impatient.is_err());
        assert!(peer.lease(&pool, &source).await.is_ok());
        assert_eq!(peer.connects.get(), 1);
    });
}

#[test]
fn an_idle_tunnel_is_released_and_leaves_nothing() {
    run(async {
        let (peer, pool) = (Peer::default(), Pool::new());
        drop(peer.lease(&pool, &key("source")).await.expect("lease"));
        sleep(settings::IDLE_RELEASE - Duration::from_secs(5)).await;
        assert_eq!(pool.tunnels(), 1);
        sleep(Duration::from_secs(10)).await;
        assert_eq!((pool.tunnels(), pool.entries()), (0, 0));
    });
}

#[test]
fn a_used_tunnel_is_not_released() {
    run(async {
        let (peer, pool) = (Peer::default(), Pool::new());
        let _lease = peer.lease(&pool, &key("source")).await.expect("lease");
        advance(settings::IDLE_RELEASE * 3).await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(pool.tunnels(), 1);
    });
}

#[test]
fn a_pod_that_goes_takes_its_tunnels_along() {
    run(async {
        let (peer, pool) = (Peer::default(), Pool::new());
        let _lease = peer.lease(&pool, &key("source")).await.expect("lease");
        pool.forget("destination");
        assert_eq!(pool.entries(), 0);
    });
}

#[test]
fn after_a_goaway_the_next_flow_gets_a_new_tunnel() {
    run(async {
        let (peer, pool) = (Peer::default(), Pool::new());
        drop(peer.lease(&pool, &key("source")).await.expect("lease"));
        peer.go_away.notify_waiters();
        sleep(Duration::from_millis(50)).await;
        let lease = peer.lease(&pool, &key("source")).await.expect("lease");
        let mut sender = lease.sender().clone().ready().await.expect("ready");
        let request = Request::builder()
            .method("CONNECT")
            .uri("127.0.0.1:80")
            .body(())
            .expect("request");
        assert!(sender.send_request(request, false).is_ok());
        assert_eq!(peer.connects.get(), 2);
    });
}

#[test]
fn flows_that_wait_for_a_tunnel_of_a_pod_that_goes_do_not_wait_for_ever() {
    run(async {
        let (peer, pool) = (Peer::default(), Pool::new());
        let source = key("source");
        let (waiting, ()) = tokio::join!(
            tokio::time::timeout(Duration::from_secs(60), peer.lease(&pool, &source)),
            async {
                sleep(Duration::from_millis(1)).await;
                pool.forget("source");
            }
        );
        assert!(waiting.is_ok_and(|lease| lease.is_ok()));
        assert_eq!(peer.connects.get(), 2);
    });
}
