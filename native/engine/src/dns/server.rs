//! Name queries over UDP: one socket per pod, on one thread.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_intercept::DnsSockets;
use ambit_intercept::datagrams::{Datagram, Replies, receive};
use domain::base::iana::Rcode;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::time::sleep;

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

/// Before the first attempt to capture a pod's queries anew, and the longest between two.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Where sockets for a pod's name queries come from.
pub trait Captures: Send {
    /// Captures them; the error has been told to whom it concerns. Blocks for a few milliseconds.
    fn capture(&self) -> Captured;

    /// What was captured is no more, since its socket has failed.
    fn lost(&self, error: &io::Error);
}

/// What came of an attempt.
pub enum Captured {
    Sockets(DnsSockets),
    Failed,
    /// It is not wanted any more.
    Unwanted,
}

/// Answers until the pod is drained or `released` is dropped. Then the socket is closed, and the kernel lets queries go to the
/// pod's resolver. So it does while a socket has failed and the next one is not there yet.
pub async fn serve(
    context: Rc<ThreadContext>,
    pod: Arc<Pod>,
    first: Captured,
    captures: Box<dyn Captures>,
    released: oneshot::Receiver<()>,
) {
    let drain = pod.drain.clone();
    tokio::select! {
        biased;
        () = drain.reached(Phase::Draining) => {}
        _ = released => {}
        () = keep_answering(&context, &pod, first, &*captures) => {}
    }
}

async fn keep_answering(
    context: &Rc<ThreadContext>,
    pod: &Arc<Pod>,
    mut captured: Captured,
    captures: &dyn Captures,
) {
    let (shortest, longest) = PAUSES;
    let mut pause = shortest;
    loop {
        let begun = Instant::now();
        match captured {
            Captured::Unwanted => return,
            Captured::Failed => {}
            Captured::Sockets(sockets) => {
                let error = answer(context, pod, sockets).await;
                context.shared.dns.lost.increment();
                captures.lost(&error);
            }
        }
        if begun.elapsed() > longest {
            pause = shortest;
        }
        sleep(pause).await;
        pause = (pause * 2).min(longest);
        captured = captures.capture();
    }
}

/// Until the socket fails.
async fn answer(context: &Rc<ThreadContext>, pod: &Arc<Pod>, sockets: DnsSockets) -> io::Error {
    let DnsSockets { queries, replies } = sockets;
    let queries = match UdpSocket::from_std(queries) {
        Ok(queries) => queries,
        Err(error) => return error,
    };
    let server = Rc::new(Server {
        forwarding: Gate::new(MOST_FORWARDED),
        series: PodSeries::default(),
        context: context.clone(),
        pod: pod.clone(),
        replies,
    });
    server.take_all(&queries).await
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
    async fn take_all(self: &Rc<Self>, queries: &UdpSocket) -> io::Error {
        let mut buffer = vec![0; LARGEST_LIMIT];
        loop {
            tokio::select! {
                ready = queries.readable() => if let Err(error) = ready {
                    return error;
                },
                error = failure(queries) => return error,
            }
            for _ in 0..BURST {
                let reading = || receive(queries, &mut buffer);
                match queries.try_io(Interest::READABLE, reading) {
                    Ok(datagram) => self.take(&buffer[..datagram.length], datagram),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // What an ICMP message left behind (ECONNREFUSED and the like); the next call reads on.
                    Err(error) if is_passing(&error) => {}
                    Err(error) => return error,
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

/// An error by itself makes no socket readable: it would wait for the next datagram, and take it along.
async fn failure(queries: &UdpSocket) -> io::Error {
    loop {
        let ready = queries.ready(Interest::ERROR).await.map(drop);
        match ready.and_then(|()| queries.take_error()) {
            Err(error) => return error,
            Ok(Some(error)) if !is_passing(&error) => return error,
            Ok(_) => {}
        }
        // Nothing more to be told of what has passed.
        let told = || io::Result::<()>::Err(io::ErrorKind::WouldBlock.into());
        let _ = queries.try_io(Interest::ERROR, told);
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
