//! A network namespace held open, and running code inside it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::sys;

thread_local! {
    /// The namespace this thread belongs to, opened once: coming back must not depend on /proc being readable later.
    static HOME: io::Result<File> = File::open("/proc/thread-self/ns/net");
}

/// An open network namespace; it lives at least as long as this value.
#[derive(Debug)]
pub struct Netns {
    file: File,
    inode: u64,
    cookie: u64,
}

impl Netns {
    /// Opens a path such as `/run/netns/NAME` or `/proc/PID/ns/net`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let inode = file.metadata()?.ino();
        let mut netns = Self {
            file,
            inode,
            cookie: 0,
        };
        netns.cookie = netns.enter(sys::netns_cookie)??;
        Ok(netns)
    }

    /// Its nsfs inode number, as `bpf_link_info` names it.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// The kernel's cookie, unique until reboot.
    pub fn cookie(&self) -> u64 {
        self.cookie
    }

    /// Runs `work` on this thread inside the namespace. `work` must not move to another thread or wait.
    ///
    /// Aborts the process when the thread cannot return: it would go on acting with another pod's network.
    pub fn enter<R>(&self, work: impl FnOnce() -> R) -> io::Result<R> {
        HOME.with(|home| {
            let home = home
                .as_ref()
                .map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
            sys::setns_network(self.file.as_fd())?;
            let _back = Return(home);
            Ok(work())
        })
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Comes back also when the work panics.
struct Return<'a>(&'a File);

impl Drop for Return<'_> {
    fn drop(&mut self) {
        if let Err(error) = sys::setns_network(self.0.as_fd()) {
            eprintln!(
                "fatal: cannot return to network namespace fd {}: {error}",
                self.0.as_raw_fd()
            );
            std::process::abort();
        }
    }
}
