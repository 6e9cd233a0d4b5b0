//! Sockets of the engine inside a pod's network namespace.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};

use crate::netns::Netns;
use crate::sys;

/// Seconds of silence before the first keepalive, seconds between them, and how many may be lost.
const KEEPALIVE: (u64, u64, u32) = (180, 180, 9);

/// A non-blocking TCP socket in the pod's namespace for the family of `destination`.
pub fn stream_socket(netns: &Netns, destination: IpAddr) -> io::Result<OwnedFd> {
    let socket = netns.enter(|| new_socket(destination))??;
    prepare(&socket)?;
    Ok(socket.into())
}

/// A non-blocking socket that appears as `source`:`port`, for dialling the pod's own application on `lo`.
///
/// `source` may be any address of the same family as the destination; `mark` is [`crate::CapturedPod::mark`], without which
/// the answers would leave by the veth. EADDRINUSE and EADDRNOTAVAIL, here or on connect, mean: take the next port.
pub fn transparent_socket(
    netns: &Netns,
    source: IpAddr,
    port: u16,
    mark: u32,
) -> io::Result<OwnedFd> {
    let socket = netns.enter(|| new_socket(source))??;
    prepare(&socket)?;
    socket.set_reuse_address(true)?;
    socket.set_mark(mark)?;
    sys::set_transparent(socket.as_fd(), source.is_ipv6())?;
    // Else the SYN takes the route of the table `local`, and the look-up sees it as one from outside.
    sys::bind_to_loopback(socket.as_fd())?;
    socket.bind(&SockAddr::from(SocketAddr::new(source, port)))?;
    prefer_reno(&socket);
    Ok(socket.into())
}

/// Starts connecting; `true` when it is done at once, `false` when the caller waits for writability.
pub fn connect(socket: impl AsFd, destination: SocketAddr) -> io::Result<bool> {
    match socket2::SockRef::from(&socket).connect(&SockAddr::from(destination)) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Connects to a port of the pod's own loopback within `limit`; the socket comes back blocking.
pub fn connect_to_loopback(netns: &Netns, port: u16, limit: Duration) -> io::Result<OwnedFd> {
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let socket = Socket::from(stream_socket(netns, loopback.ip())?);
    socket.connect_timeout(&SockAddr::from(loopback), limit)?;
    Ok(socket.into())
}

/// TCP_NODELAY and keepalive, for accepted sockets.
pub fn prepare_accepted(socket: impl AsFd) -> io::Result<()> {
    prepare(&socket2::SockRef::from(&socket))
}

/// Reno on a leg that stays on `lo`: pacing (bbr) is pure cost there. Not having reno is no error.
pub fn prepare_local_leg(socket: impl AsFd) {
    prefer_reno(&socket2::SockRef::from(&socket));
}

/// Raises the limit of open files to the hard limit; the new limit.
pub fn raise_file_limit() -> io::Result<u64> {
    sys::raise_file_limit()
}

fn new_socket(address: IpAddr) -> io::Result<Socket> {
    let domain = if address.is_ipv4() {
        Domain::IPV4
    } else {
        Domain::IPV6
    };
    Socket::new(
        domain,
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )
}

fn prepare(socket: &Socket) -> io::Result<()> {
    let (idle, interval, retries) = KEEPALIVE;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(idle))
        .with_interval(Duration::from_secs(interval))
        .with_retries(retries);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_nodelay(true)
}

fn prefer_reno(socket: &Socket) {
    let _ = socket.set_tcp_congestion(b"reno");
}

/// Source ports for [`transparent_socket`] toward one destination pod: a ring, so that a port comes back as late as possible.
#[derive(Debug)]
pub struct PortRing {
    first: u16,
    count: u32,
    next: AtomicU32,
}

impl PortRing {
    /// The range below the usual ephemeral one up to its end.
    pub const DEFAULT_FIRST: u16 = 16_384;
    pub const DEFAULT_LAST: u16 = 60_999;

    /// `first..=last`; `start` is where the ring begins, so that pods differ.
    pub fn new(first: u16, last: u16, start: u16) -> Self {
        let count = u32::from(last.max(first)) - u32::from(first) + 1;
        Self {
            first,
            count,
            next: AtomicU32::new(u32::from(start) % count),
        }
    }

    /// The next port of the ring.
    pub fn next(&self) -> u16 {
        let step = self.next.fetch_add(1, Ordering::Relaxed) % self.count;
        self.first + u16::try_from(step).unwrap_or_default()
    }

    /// Ports to try in order, at most `attempts`: `own` first (the client's port: HBONE and node-local only; an accepted
    /// plaintext connection already holds the very same four-tuple), then the ring.
    pub fn candidates(&self, own: Option<u16>, attempts: usize) -> impl Iterator<Item = u16> + '_ {
        own.into_iter()
            .chain(std::iter::repeat_with(|| self.next()))
            .take(attempts)
    }
}

impl Default for PortRing {
    fn default() -> Self {
        Self::new(Self::DEFAULT_FIRST, Self::DEFAULT_LAST, 0)
    }
}
