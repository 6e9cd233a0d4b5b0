//! One query to the resolver that was asked, over UDP.
//!
//! Against forged replies (RFC 5452): a socket of its own for each query, so that the kernel draws a port for it and takes
//! datagrams of that resolver alone; an id of ours; the question must come back as it was asked.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ambit_intercept::datagrams::connected;
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

use super::answer::random;
use super::message;
use super::metrics::Series;
use crate::flows::{Pod, ThreadContext};

/// After this the query is sent once more.
const REPEAT: Duration = Duration::from_millis(1500);
/// A little less than the 5 s that resolver libraries wait, so that they hear of the failure and try their next server.
const LIMIT: Duration = Duration::from_millis(4500);
/// Replies to one query that may be wrong.
const MOST_FORGED: usize = 32;

/// Why a query has no reply to pass on.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    NoAnswer,
    /// Longer than the client takes in one datagram.
    TooLarge,
}

pub struct Forwarding<'a> {
    pub context: &'a ThreadContext,
    pub pod: &'a Pod,
    pub resolver: SocketAddr,
    pub series: &'a Series,
}

/// The resolver's reply, with the client's id.
pub async fn forward(
    forwarding: &Forwarding<'_>,
    query: &[u8],
    limit: usize,
) -> Result<Vec<u8>, Failure> {
    let series = forwarding.series;
    series.upstream_requests.increment();
    let begun = Instant::now();
    let reply = match timeout(LIMIT, ask(forwarding, query, limit)).await {
        Ok(reply) => reply,
        Err(_) => Err(Failure::NoAnswer),
    };
    series.upstream_duration.observe(begun.elapsed());
    if reply == Err(Failure::NoAnswer) {
        series.upstream_failures.increment();
    }
    reply
}

async fn ask(forwarding: &Forwarding<'_>, query: &[u8], limit: usize) -> Result<Vec<u8>, Failure> {
    let socket = connected(&forwarding.pod.netns, forwarding.resolver)
        .and_then(UdpSocket::from_std)
        .map_err(|_| Failure::NoAnswer)?;
    let mut own = query.to_vec();
    message::set_id(&mut own, random());
    let send = async || socket.send(&own).await.map_err(|_| Failure::NoAnswer);
    send().await?;
    let hearing = hear(forwarding, &socket, &own, limit);
    tokio::pin!(hearing);
    let mut reply = tokio::select! {
        reply = &mut hearing => reply?,
        () = sleep(REPEAT) => {
            send().await?;
            hearing.await?
        }
    };
    message::set_id(&mut reply, message::id(query));
    Ok(reply)
}

/// An error of the socket is the resolver's host saying that nobody is there.
async fn hear(
    forwarding: &Forwarding<'_>,
    socket: &UdpSocket,
    query: &[u8],
    limit: usize,
) -> Result<Vec<u8>, Failure> {
    let dns = &forwarding.context.shared.dns;
    // One byte more tells what is too long.
    let mut buffer = vec![0; limit + 1];
    for _ in 0..MOST_FORGED {
        let length = socket.recv(&mut buffer).await;
        let length = length.map_err(|_| Failure::NoAnswer)?;
        if !message::is_answer(query, &buffer[..length]) {
            dns.spoofed.increment();
            continue;
        }
        if length > limit {
            dns.oversized.increment();
            return Err(Failure::TooLarge);
        }
        buffer.truncate(length);
        return Ok(buffer);
    }
    Err(Failure::NoAnswer)
}
