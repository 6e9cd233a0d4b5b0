//! The engine's listeners in a pod's namespace. Made in the calling thread's namespace.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::abi::{LISTENER_SLOTS, ListenerKind, MAX_THREADS};
use crate::bpf;
use crate::options::ThreadListeners;
use crate::sockets;
use crate::sys;

/// Above the kernel's ephemeral range, so that a listener never sits on a port that the pod's own clients are given.
const FIRST_PORT: u16 = 61_000;
const PORTS: u16 = u16::MAX - FIRST_PORT;
const ATTEMPTS: u16 = 64;
const BACKLOG: i32 = 4096;

/// `threads` sets of three. Accepted sockets inherit TCP_NODELAY, keepalive and, outbound, reno. Those of applications
/// also that their close is a reset: a process that is killed must not look like the end of a stream.
pub(crate) fn make(threads: usize) -> io::Result<Vec<ThreadListeners>> {
    (0..threads)
        .map(|_| {
            let outbound = listener()?;
            sockets::prepare_local_leg(&outbound);
            let plaintext = listener()?;
            for listener in [&outbound, &plaintext] {
                listener.set_linger(Some(Duration::ZERO))?;
            }
            Ok(ThreadListeners {
                outbound: outbound.into(),
                plaintext: plaintext.into(),
                hbone: listener()?.into(),
            })
        })
        .collect()
}

/// Their real ports, in no order.
pub(crate) fn ports(listeners: &[ThreadListeners]) -> io::Result<Vec<u16>> {
    listeners
        .iter()
        .flat_map(|thread| [&thread.outbound, &thread.plaintext, &thread.hbone])
        .map(|listener| listener.local_addr().map(|address| address.port()))
        .collect()
}

/// Puts the listeners in their slots, over those of an earlier process; new connections come here at once.
pub(crate) fn fill_slots(map: BorrowedFd<'_>, listeners: &[ThreadListeners]) -> io::Result<()> {
    for (thread, set) in listeners.iter().enumerate() {
        for kind in ListenerKind::ALL {
            bpf::slot_set(map, kind.slot(thread), of_kind(set, kind).as_fd())?;
        }
    }
    Ok(())
}

/// Empties the slots of threads that an earlier process had and this one has not.
pub(crate) fn clear_surplus(map: BorrowedFd<'_>, threads: usize) -> io::Result<()> {
    (0..LISTENER_SLOTS)
        .filter(|slot| *slot as usize % MAX_THREADS >= threads)
        .try_for_each(|slot| bpf::slot_clear(map, slot))
}

fn of_kind(set: &ThreadListeners, kind: ListenerKind) -> &TcpListener {
    match kind {
        ListenerKind::Outbound => &set.outbound,
        ListenerKind::Plaintext => &set.plaintext,
        ListenerKind::Hbone => &set.hbone,
    }
}

fn listener() -> io::Result<Socket> {
    let (socket, ipv6) = dual_stack(Type::STREAM, Protocol::TCP)?;
    sys::set_transparent(socket.as_fd(), ipv6)?;
    sockets::prepare_accepted(&socket)?;
    bind(&socket, ipv6)?;
    socket.listen(BACKLOG)?;
    // Accepted sockets have the port that the client has asked for, which an application of the pod may want to listen on:
    // those that share a port let it where both sides say so. After `bind`, which must find a port that nobody listens on.
    socket.set_reuse_address(true)?;
    Ok(socket)
}

/// AF_INET6 serves IPv4 too (sk_lookup demands that it is not v6-only); AF_INET where the kernel has no IPv6.
pub(crate) fn dual_stack(kind: Type, protocol: Protocol) -> io::Result<(Socket, bool)> {
    let kind = kind.nonblocking().cloexec();
    match Socket::new(Domain::IPV6, kind, Some(protocol)) {
        Ok(socket) => {
            socket.set_only_v6(false)?;
            Ok((socket, true))
        }
        Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
            Ok((Socket::new(Domain::IPV4, kind, Some(protocol))?, false))
        }
        Err(error) => Err(error),
    }
}

/// A port above the ephemeral range; any port when those are taken. Which one matters to nobody: sk_lookup finds the socket.
pub(crate) fn bind(socket: &Socket, ipv6: bool) -> io::Result<()> {
    let start = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.subsec_nanos())
        / 100;
    for attempt in 0..=ATTEMPTS {
        let step = ((start + u32::from(attempt) * 61) % u32::from(PORTS)) as u16;
        let port = if attempt == ATTEMPTS {
            0
        } else {
            FIRST_PORT + step
        };
        let address: SocketAddr = if ipv6 {
            (Ipv6Addr::UNSPECIFIED, port).into()
        } else {
            (Ipv4Addr::UNSPECIFIED, port).into()
        };
        match socket.bind(&SockAddr::from(address)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempt < ATTEMPTS => {}
            result => return result,
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}
