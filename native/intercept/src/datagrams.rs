//! Datagrams of a pod's name queries: taken with the address that was asked, answered from that address.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};

use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};

use crate::listeners;
use crate::netns::Netns;
use crate::sys;

/// The protocol number for which the kernel takes the IP header from us, in both families (raw(7)).
const RAW: i32 = 255;
const UDP: u8 = 17;
const UDP_HEADER: usize = 8;
/// Bytes of datagrams that wait to be read, with what the kernel adds to each.
const QUEUE: i32 = 1 << 20;
/// As much as the control messages of both families need.
const CONTROL: usize = 128;

/// A datagram that was turned round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    pub length: usize,
    /// It was longer than the buffer.
    pub truncated: bool,
    /// A loopback address: the sender named none, and hears of the pod's first address of that family.
    pub source: SocketAddr,
    pub destination: IpAddr,
}

/// In the calling thread's namespace. What comes by other ways than `lo` is not for this socket.
pub(crate) fn listen() -> io::Result<UdpSocket> {
    let (socket, ipv6) = listeners::dual_stack(Type::DGRAM, Protocol::UDP)?;
    sys::bind_to_loopback(socket.as_fd())?;
    // A burst while the thread is busy with others. What the machine allows without asking is enough where it is refused.
    let _ = sys::set_option(
        socket.as_fd(),
        libc::SOL_SOCKET,
        libc::SO_RCVBUFFORCE,
        QUEUE,
    );
    if ipv6 {
        sys::set_option(socket.as_fd(), libc::SOL_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
    } else {
        sys::set_option(socket.as_fd(), libc::SOL_IP, libc::IP_PKTINFO, 1)?;
    }
    listeners::bind(&socket, ipv6)?;
    Ok(socket.into())
}

/// A non-blocking socket in the pod's namespace that hears of `peer` alone. Its port is random, as the kernel chooses it.
pub fn connected(netns: &Netns, peer: SocketAddr) -> io::Result<UdpSocket> {
    let kind = Type::DGRAM.nonblocking().cloexec();
    let make = || Socket::new(Domain::for_address(peer), kind, Some(Protocol::UDP));
    let socket = netns.enter(make)??;
    socket.connect(&SockAddr::from(peer))?;
    Ok(socket.into())
}

pub(crate) fn number(socket: &UdpSocket) -> u32 {
    socket.as_raw_fd() as u32
}

/// Reads one datagram of a socket of [`crate::DnsSockets`]; `WouldBlock` when there is none.
pub fn receive(socket: &impl AsFd, buffer: &mut [u8]) -> io::Result<Datagram> {
    let mut name = SockAddrStorage::zeroed();
    let mut control = [0u64; CONTROL / 8];
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: zero is valid for this plain C struct.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = (&raw mut name).cast();
    header.msg_namelen = name.size_of();
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control);
    // SAFETY: every pointer of `header` leads to a buffer of the length beside it, and all live through the call.
    let length = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut header, 0) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the kernel wrote an address of the length it tells.
    let source = unsafe { SockAddr::new(name, header.msg_namelen) };
    let source = source.as_socket().ok_or(io::ErrorKind::InvalidData)?;
    let destination = asked(&header).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Datagram {
        length,
        truncated: header.msg_flags & libc::MSG_TRUNC != 0,
        source: SocketAddr::new(source.ip().to_canonical(), source.port()),
        destination: destination.to_canonical(),
    })
}

/// The address that the datagram was sent to: of an IPv6 socket the same message serves v4-mapped ones.
fn asked(header: &libc::msghdr) -> Option<IpAddr> {
    // SAFETY: `header` is as recvmsg left it; the macros stay within its control buffer.
    let mut message = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !message.is_null() {
        // SAFETY: not null, so a whole cmsghdr inside of the buffer, which is aligned for it.
        let (level, kind, data) = unsafe {
            let head = &*message;
            (head.cmsg_level, head.cmsg_type, libc::CMSG_DATA(message))
        };
        match (level, kind) {
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                // SAFETY: the kernel puts an in6_pktinfo behind this header; it may not be aligned.
                let info = unsafe { data.cast::<libc::in6_pktinfo>().read_unaligned() };
                return Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
            }
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                // SAFETY: likewise an in_pktinfo.
                let info = unsafe { data.cast::<libc::in_pktinfo>().read_unaligned() };
                return Some(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)).into());
            }
            // SAFETY: as above.
            _ => message = unsafe { libc::CMSG_NXTHDR(header, message) },
        }
    }
    None
}

/// Sends datagrams that come from any address and port. A socket that is bound to the resolver's port 53 would do, too, but
/// would keep an application in the pod from being a name server itself.
#[derive(Debug)]
pub struct Replies {
    four: Socket,
    six: Option<Socket>,
}

impl Replies {
    /// In the calling thread's namespace.
    pub(crate) fn new() -> io::Result<Self> {
        let make = |domain| {
            let kind = Type::RAW.nonblocking().cloexec();
            Socket::new(domain, kind, Some(Protocol::from(RAW)))
        };
        Ok(Self {
            four: make(Domain::IPV4)?,
            six: make(Domain::IPV6).ok(),
        })
    }

    /// Both of one family. `WouldBlock` when the pod does not take it: then it is lost, as datagrams are.
    pub fn send(&self, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> io::Result<()> {
        let packet = packet(from, to, payload).ok_or(io::ErrorKind::InvalidInput)?;
        let socket = match to {
            SocketAddr::V4(_) => &self.four,
            SocketAddr::V6(_) => self.six.as_ref().ok_or(io::ErrorKind::Unsupported)?,
        };
        // The port of a raw socket's destination is a protocol number, of which the kernel wants none here.
        let to = SockAddr::from(SocketAddr::new(to.ip(), 0));
        socket.send_to(&packet, &to).map(drop)
    }
}

/// IP and UDP header and payload. `None`: of two families, or too long for IP.
fn packet(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(UDP_HEADER + payload.len()).ok()?;
    let (mut packet, addresses) = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let total = length.checked_add(20)?;
            let addresses = [from.octets(), to.octets()].concat();
            (ipv4_header(total, &addresses), addresses)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let addresses = [from.octets(), to.octets()].concat();
            (ipv6_header(length, &addresses), addresses)
        }
        _ => return None,
    };
    let mut datagram = Vec::with_capacity(usize::from(length));
    datagram.extend(from.port().to_be_bytes());
    datagram.extend(to.port().to_be_bytes());
    datagram.extend(length.to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    let sum = checksum(&[&addresses, &[0, UDP], &length.to_be_bytes(), &datagram]);
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    packet.extend(datagram);
    Some(packet)
}

/// RFC 791; the kernel fills in the checksum (raw(7)).
fn ipv4_header(total: u16, addresses: &[u8]) -> Vec<u8> {
    let mut header = vec![0x45, 0];
    header.extend(total.to_be_bytes());
    header.extend([0, 0, 0, 0, 64, UDP, 0, 0]);
    header.extend(addresses);
    header
}

/// RFC 8200.
fn ipv6_header(length: u16, addresses: &[u8]) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0];
    header.extend(length.to_be_bytes());
    header.extend([UDP, 64]);
    header.extend(addresses);
    header
}

/// RFC 768: over the pseudo-header and the datagram; what comes out as zero is sent as all ones. Only the last part may be of
/// odd length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for pair in parts.iter().flat_map(|part| part.chunks(2)) {
        let low = pair.get(1).copied().unwrap_or_default();
        sum += u32::from(u16::from_be_bytes([pair[0], low]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    match !(sum as u16) {
        0 => u16::MAX,
        sum => sum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn the_checksum_is_that_of_the_rfc() {
        // Computed by hand: 10.0.0.1:53 to 10.0.0.2:4096, two bytes.
        let packet = packet(at("10.0.0.1:53"), at("10.0.0.2:4096"), &[0xab, 0xcd]);
        let packet = packet.expect("one family");
        let expected: u32 =
            0x0a00 + 0x0001 + 0x0a00 + 0x0002 + 0x11 + 10 + 0x35 + 0x1000 + 10 + 0xabcd;
        let folded = (expected & 0xffff) + (expected >> 16);
        assert_eq!(packet[26..28], (!(folded as u16)).to_be_bytes());
    }

    #[test]
    fn two_families_or_too_many_bytes_are_no_packet() {
        assert_eq!(packet(at("10.0.0.1:53"), at("[fd00::1]:53"), &[]), None);
        let long = vec![0; 65_507];
        let fits = packet(at("10.0.0.1:53"), at("10.0.0.2:1"), &long);
        assert_eq!(fits.map(|packet| packet.len()), Some(65_535));
        let long = vec![0; 65_508];
        assert_eq!(packet(at("10.0.0.1:53"), at("10.0.0.2:1"), &long), None);
    }
}
