//! System calls that the standard library and socket2 lack.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const SO_NETNS_COOKIE: libc::c_int = 71;

pub(crate) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

pub(crate) fn setns_network(netns: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: setns takes two integers; the descriptor is borrowed for the call.
    check(unsafe { libc::setns(netns.as_raw_fd(), libc::CLONE_NEWNET) }).map(drop)
}

/// The cookie of the calling thread's network namespace.
pub(crate) fn netns_cookie() -> io::Result<u64> {
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::DGRAM, None)?;
    let mut cookie = 0u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into `cookie`, which is as long.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    })?;
    Ok(cookie)
}

/// Sets an `int` socket option.
pub(crate) fn set_option(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: `value` lives through the call and its size is passed along.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    })
    .map(drop)
}

/// Lets the socket use addresses that are not the host's. An IPv6 socket also needs the IPv4 option for v4-mapped peers.
pub(crate) fn set_transparent(socket: BorrowedFd<'_>, ipv6: bool) -> io::Result<()> {
    set_option(socket, libc::SOL_IP, libc::IP_TRANSPARENT, 1)?;
    if ipv6 {
        set_option(socket, libc::SOL_IPV6, libc::IPV6_TRANSPARENT, 1)
    } else {
        Ok(())
    }
}

/// Restricts the socket to `lo`, whose index is 1 in every namespace.
pub(crate) fn bind_to_loopback(socket: BorrowedFd<'_>) -> io::Result<()> {
    const SO_BINDTOIFINDEX: libc::c_int = 62;
    set_option(socket, libc::SOL_SOCKET, SO_BINDTOIFINDEX, 1)
}

pub(crate) fn raise_file_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid rlimit for the kernel to fill.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is initialised above.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(limit.rlim_cur)
}

/// Before Linux 5.11 eBPF maps count against this limit.
pub(crate) fn lift_memory_lock_limit() -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: `limit` is a valid rlimit.
    check(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) }).map(drop)
}

/// The type of the filesystem at `path`.
pub(crate) fn filesystem_magic(path: &Path) -> io::Result<i64> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: zero is valid for this plain C struct.
    let mut status: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: a terminated string and a struct for the kernel to fill.
    check(unsafe { libc::statfs(path.as_ptr(), &raw mut status) })?;
    Ok(status.f_type as i64)
}

#[derive(Clone, Copy)]
pub(crate) enum Access {
    Read,
    Write,
}

/// An existing file below a folder.
pub(crate) fn open_below(folder: &File, path: &str, access: Access) -> io::Result<File> {
    let path = CString::new(path)?;
    let flags = match access {
        Access::Read => libc::O_RDONLY,
        Access::Write => libc::O_WRONLY,
    };
    // SAFETY: a live descriptor and a terminated string.
    let fd =
        check(unsafe { libc::openat(folder.as_raw_fd(), path.as_ptr(), flags | libc::O_CLOEXEC) })?;
    // SAFETY: the kernel has just given us this descriptor, and nobody else has it.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// A new instance of procfs for the calling process's PID namespace; gone with its last descriptor (fsopen(2), fsmount(2)).
pub(crate) fn detached_proc() -> io::Result<File> {
    const FSOPEN_CLOEXEC: libc::c_uint = 1;
    const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
    const FSMOUNT_CLOEXEC: libc::c_uint = 1;
    let null = std::ptr::null::<libc::c_char>();
    // SAFETY: a terminated string; the descriptor that comes back is ours alone.
    let context = unsafe {
        new_file(libc::syscall(
            libc::SYS_fsopen,
            c"proc".as_ptr(),
            FSOPEN_CLOEXEC,
        ))?
    };
    let raw = context.as_raw_fd();
    // SAFETY: a live descriptor; this command takes neither key nor value.
    let created =
        unsafe { libc::syscall(libc::SYS_fsconfig, raw, FSCONFIG_CMD_CREATE, null, null, 0) };
    check(created as libc::c_int)?;
    // SAFETY: a live descriptor; the one that comes back is ours alone.
    unsafe { new_file(libc::syscall(libc::SYS_fsmount, raw, FSMOUNT_CLOEXEC, 0)) }
}

/// # Safety
/// What is not negative must be a descriptor that nobody else has.
unsafe fn new_file(result: libc::c_long) -> io::Result<File> {
    let fd = check(result as libc::c_int)?;
    // SAFETY: the caller's word.
    Ok(unsafe { File::from_raw_fd(fd) })
}

pub(crate) fn effective_uid() -> u32 {
    // SAFETY: geteuid has no arguments and cannot fail.
    unsafe { libc::geteuid() }
}

/// An eventfd: readable once [`signal`] has been called.
pub(crate) fn event() -> io::Result<OwnedFd> {
    // SAFETY: two integers; the result is checked before it is owned.
    let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(crate) fn signal(event: BorrowedFd<'_>) {
    let one = 1u64;
    // SAFETY: writes eight bytes from `one`. It can only fail when the counter is full, which also wakes the reader.
    unsafe { libc::write(event.as_raw_fd(), (&raw const one).cast(), 8) };
}

/// An epoll instance whose members are watched for reading.
#[derive(Debug)]
pub(crate) struct Poller(OwnedFd);

impl Poller {
    pub fn new() -> io::Result<Self> {
        // SAFETY: one integer; the result is checked before it is owned.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: a new descriptor that nobody else owns.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Closing `fd` takes it out again.
    pub fn add(&self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: token,
        };
        // SAFETY: both descriptors are open and `event` lives through the call.
        check(unsafe {
            libc::epoll_ctl(
                self.0.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                fd.as_raw_fd(),
                &raw mut event,
            )
        })
        .map(drop)
    }

    /// Tokens that are readable; none after `milliseconds`.
    pub fn wait(&self, milliseconds: i32) -> Vec<u64> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
        // SAFETY: the kernel writes at most as many events as the array holds.
        let count = unsafe {
            libc::epoll_wait(
                self.0.as_raw_fd(),
                events.as_mut_ptr(),
                events.len() as i32,
                milliseconds,
            )
        };
        events
            .iter()
            .take(usize::try_from(count).unwrap_or(0))
            .map(|event| event.u64)
            .collect()
    }
}

/// Where network namespaces can be found: named ones, then those of processes.
pub(crate) fn netns_paths(host_proc: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = |folder: &Path| {
        std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
    };
    entries(Path::new("/run/netns")).chain(entries(host_proc).map(|process| process.join("ns/net")))
}
