//! Ways to open a connection, as applications do it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::address::mapped;
use crate::args::{Arguments, Usage};
use crate::{system, uring};

/// Not in every libc crate: linux/in.h.
const IPPROTO_MPTCP: i32 = 262;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    Blocking,
    NonBlocking,
    FastOpen,
    FastOpenConnect,
    Multipath,
    IoUring,
    Udp,
}

impl FromStr for Variant {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text {
            "blocking" => Self::Blocking,
            "non-blocking" => Self::NonBlocking,
            "fast-open" => Self::FastOpen,
            "fast-open-connect" => Self::FastOpenConnect,
            "mptcp" => Self::Multipath,
            "io-uring" => Self::IoUring,
            "udp" => Self::Udp,
            _ => return Err(()),
        })
    }
}

#[derive(Clone, Debug)]
pub struct Options {
    pub variant: Variant,
    /// Reach IPv4 through an AF_INET6 socket.
    pub mapped: bool,
    pub device: Option<String>,
    pub source_ip: Option<IpAddr>,
    pub source_port: u16,
    pub mark: Option<u32>,
    /// Bind the source although the address is not ours.
    pub transparent: bool,
    pub timeout: Duration,
}

/// For the top of the help; one text for all subcommands that connect.
pub const HELP: &str = "connection options: --variant blocking|non-blocking|fast-open|fast-open-connect|mptcp|io-uring|udp --mapped \
--device NAME --source-ip IP --source-port N --mark N --transparent --timeout MS";

impl Options {
    pub fn take(arguments: &mut Arguments) -> Result<Self, Usage> {
        Ok(Self {
            variant: arguments.value("variant", Variant::Blocking)?,
            mapped: arguments.switch("mapped")?,
            device: arguments.text("device"),
            source_ip: arguments.optional("source-ip")?,
            source_port: arguments.value("source-port", 0)?,
            mark: arguments.optional("mark")?,
            transparent: arguments.switch("transparent")?,
            timeout: arguments.milliseconds("timeout", 5_000)?,
        })
    }

    pub fn target(&self, to: SocketAddr) -> SocketAddr {
        if self.mapped { mapped(to) } else { to }
    }
}

/// A socket with all options set, not yet connected.
pub fn prepare(to: SocketAddr, options: &Options) -> io::Result<Socket> {
    let target = options.target(to);
    let socket = match options.variant {
        Variant::Udp => Socket::new(
            Domain::for_address(target),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?,
        Variant::Multipath => {
            let protocol = Some(Protocol::from(IPPROTO_MPTCP));
            Socket::new(Domain::for_address(target), Type::STREAM, protocol)?
        }
        _ => Socket::new(
            Domain::for_address(target),
            Type::STREAM,
            Some(Protocol::TCP),
        )?,
    };
    if let Some(mark) = options.mark {
        socket.set_mark(mark)?;
    }
    if let Some(device) = &options.device {
        socket.bind_device(Some(device.as_bytes()))?;
    }
    if options.transparent {
        set_transparent(&socket, target)?;
    }
    bind_source(&socket, target, options)?;
    socket.set_read_timeout(Some(options.timeout))?;
    socket.set_write_timeout(Some(options.timeout))?;
    Ok(socket)
}

fn set_transparent(socket: &Socket, target: SocketAddr) -> io::Result<()> {
    match target {
        SocketAddr::V4(_) => system::set_option(socket, libc::SOL_IP, libc::IP_TRANSPARENT, 1),
        SocketAddr::V6(_) => system::set_option(socket, libc::SOL_IPV6, libc::IPV6_TRANSPARENT, 1),
    }
}

fn bind_source(socket: &Socket, target: SocketAddr, options: &Options) -> io::Result<()> {
    if options.source_port == 0 && options.source_ip.is_none() {
        return Ok(());
    }
    let any = match target {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let source = SocketAddr::new(options.source_ip.unwrap_or(any), options.source_port);
    // One port for two destinations is legal only if both sockets say so.
    socket.set_reuse_address(true)?;
    socket.bind(&options.target(source).into())
}

/// Connects `socket`; returns how many of `first` bytes went along (TCP Fast Open only).
pub fn connect(
    socket: &Socket,
    to: SocketAddr,
    first: &[u8],
    options: &Options,
) -> io::Result<usize> {
    let target: SockAddr = options.target(to).into();
    match options.variant {
        Variant::Blocking | Variant::Multipath | Variant::Udp => blocking(socket, &target)?,
        Variant::NonBlocking => non_blocking(socket, &target, options.timeout)?,
        Variant::FastOpen => return system::send_fast_open(socket, first, &target),
        Variant::FastOpenConnect => {
            system::set_option(socket, libc::SOL_TCP, libc::TCP_FASTOPEN_CONNECT, 1)?;
            blocking(socket, &target)?;
        }
        Variant::IoUring => uring::connect(socket, &target, options.timeout)?,
    }
    Ok(0)
}

/// A blocking connect observes SO_SNDTIMEO and then fails with EINPROGRESS: that is a time-out in other words.
fn blocking(socket: &Socket, target: &SockAddr) -> io::Result<()> {
    socket
        .connect(target)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::EINPROGRESS) => io::Error::from_raw_os_error(libc::ETIMEDOUT),
            _ => error,
        })
}

fn non_blocking(socket: &Socket, target: &SockAddr, timeout: Duration) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    match socket.connect(target) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
        _ => {}
    }
    if !system::wait(socket, libc::POLLOUT, timeout)? {
        return Err(io::Error::from_raw_os_error(libc::ETIMEDOUT));
    }
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    socket.set_nonblocking(false)
}

/// A connected stream with small messages sent at once.
pub fn open(to: SocketAddr, options: &Options) -> io::Result<Socket> {
    let socket = prepare(to, options)?;
    connect(&socket, to, &[], options)?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}
