//! Name queries over UDP: one socket per pod, on one thread.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use ambit_intercept::DnsSockets;
use ambit_intercept::datagrams::{Datagram, Replies, receive};
use domain::base::iana::Rcode;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::oneshot;

use super::PORT;
use super::answer::from_mesh;
use super::forward::{Failure, Forwarding, forward};
use super::message::{self, LARGEST_LIMIT, Query};
use super::metrics::{Carrier, PodSeries, Series};
use crate::drain::Phase;
use crate::flows::{Gate, Pod, ThreadContext};

/// Forwarded queries of one pod that wait for a reply. A resolver that answers within 5 ms serves 100,000 a second that way.
const MOST_FORWARDED: usize = 512;
/// Datagrams taken before others of this thread have their turn.
const BURST: usize = 64;

/// Answers until the pod is drained or `released` is dropped. Then the socket is closed, and the kernel lets queries go to the
/// pod's resolver.
pub async fn serve(
    context: Rc<ThreadContext>,
    pod: Arc<Pod>,
    sockets: DnsSockets,
    released: oneshot::Receiver<()>,
) {
    let DnsSockets { queries, replies } = sockets;
    let drain = pod.drain.clone();
    let Ok(queries) = UdpSocket::from_std(queries) else {
        return;
    };
    let server = Rc::new(Server {
        forwarding: Gate::new(MOST_FORWARDED),
        series: PodSeries::default(),
        context,
        pod,
        replies,
    });
    tokio::select! {
        biased;
        () = drain.reached(Phase::Draining) => {}
        _ = released => {}
        () = server.take_all(&queries) => {}
    }
}

struct Server {
    context: Rc<ThreadContext>,
    pod: Arc<Pod>,
    replies: Replies,
    series: PodSeries,
    forwarding: Arc<Gate>,
}

/// A query and where its answer goes.
struct Asked {
    bytes: Vec<u8>,
    query: Query,
    client: SocketAddr,
    resolver: SocketAddr,
    series: Series,
}

impl Server {
    /// Until the socket fails for good.
    async fn take_all(self: &Rc<Self>, queries: &UdpSocket) {
        let mut buffer = vec![0; LARGEST_LIMIT];
        while queries.readable().await.is_ok() {
            for _ in 0..BURST {
                let reading = || receive(queries, &mut buffer);
                match queries.try_io(Interest::READABLE, reading) {
                    Ok(datagram) => self.take(&buffer[..datagram.length], datagram),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // What an ICMP message left behind (ECONNREFUSED and the like); the next call reads on.
                    Err(error) if is_passing(&error) => {}
                    Err(_) => return,
                }
            }
            tokio::task::yield_now().await;
        }
    }

    fn take(self: &Rc<Self>, bytes: &[u8], datagram: Datagram) {
        let Datagram {
            truncated,
            source,
            destination,
            ..
        } = datagram;
        // Sent to the socket's own port instead of a resolver: only the hooks' work has a foreign destination.
        let direct = destination.is_loopback() || self.pod.has_address(destination);
        let Some(client) = self.client(source).filter(|_| !direct && !truncated) else {
            return self.context.shared.dns.dropped.increment();
        };
        let resolver = SocketAddr::new(destination, PORT);
        let Some(query) = message::read(bytes) else {
            self.context.shared.dns.dropped.increment();
            return self.send(resolver, client, message::unreadable(bytes));
        };
        let series = self
            .series
            .of(&self.context, &self.pod, query.kind, Carrier::Udp);
        series.requests.increment();
        let names = &self.context.shared.names;
        match from_mesh(names, &self.pod.spec().identity, &query, bytes, query.limit) {
            Some(answer) => self.send(resolver, client, Some(answer)),
            None => self.pass_on(Asked {
                bytes: bytes.to_vec(),
                query,
                client,
                resolver,
                series,
            }),
        }
    }

    /// Who named no address of its own hears at the pod's first, as the hooks have made sure.
    fn client(&self, source: SocketAddr) -> Option<SocketAddr> {
        if !source.ip().is_loopback() {
            return Some(source);
        }
        let own = self.pod.address_like(source.ip())?;
        Some(SocketAddr::new(own, source.port()))
    }

    fn pass_on(self: &Rc<Self>, asked: Asked) {
        let pass = self.forwarding.enter();
        let (Some(pass), Some(place)) = (pass, self.pod.admit()) else {
            self.context.shared.dns.overflowed.increment();
            let refusal = message::failure(&asked.bytes, Rcode::SERVFAIL);
            return self.send(asked.resolver, asked.client, refusal);
        };
        let server = self.clone();
        tokio::task::spawn_local(async move {
            let answer = server.ask(&asked).await;
            server.send(asked.resolver, asked.client, answer);
            drop((pass, place));
        });
    }

    async fn ask(&self, asked: &Asked) -> Option<Vec<u8>> {
        let forwarding = Forwarding {
            context: &self.context,
            pod: &self.pod,
            resolver: asked.resolver,
            series: &asked.series,
        };
        match forward(&forwarding, &asked.bytes, asked.query.limit).await {
            Ok(reply) => Some(reply),
            Err(Failure::TooLarge) => message::truncated(&asked.bytes),
            Err(Failure::NoAnswer) => message::failure(&asked.bytes, Rcode::SERVFAIL),
        }
    }

    /// What does not go out is lost, as datagrams are: the client asks again.
    fn send(&self, from: SocketAddr, to: SocketAddr, answer: Option<Vec<u8>>) {
        if let Some(answer) = answer {
            let _ = self.replies.send(from, to, &answer);
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::InvalidData
            | io::ErrorKind::Interrupted
    )
}
