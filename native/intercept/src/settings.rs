//! The three settings of a pod's namespace that let answers to marked packets be marked too. Everything here acts in the
//! calling thread's namespace.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::OnceLock;

use crate::abi::SETTING_ABSENT;
use crate::sys::{self, Access};

/// In the order of `amb_pod.previous`. Without the reflection a closed application port hangs instead of being refused.
const PATHS: [&str; 3] = [
    "sys/net/ipv4/tcp_fwmark_accept",
    "sys/net/ipv4/fwmark_reflect",
    "sys/net/ipv6/fwmark_reflect",
];

/// Values as they were before us.
pub(crate) type Previous = [u8; 4];

/// Sets all to 1; what they were. Without IPv6 the third is absent.
pub(crate) fn apply() -> io::Result<Previous> {
    let mut previous = [SETTING_ABSENT; 4];
    for (path, before) in PATHS.iter().zip(&mut previous) {
        match read(path)? {
            Some(value) => *before = value,
            None => continue,
        }
        if *before != 1 {
            write(path, 1)?;
        }
    }
    Ok(previous)
}

pub(crate) fn intact() -> io::Result<bool> {
    PATHS.iter().try_fold(true, |intact, path| {
        Ok(intact && read(path)?.is_none_or(|value| value == 1))
    })
}

/// Puts back what was before; how many settings changed by that.
pub(crate) fn restore(previous: Previous) -> io::Result<usize> {
    let mut changed = 0;
    for (path, before) in PATHS.iter().zip(previous) {
        if before != SETTING_ABSENT && before != 1 {
            write(path, before)?;
            changed += 1;
        }
    }
    Ok(changed)
}

fn read(path: &str) -> io::Result<Option<u8>> {
    let mut text = String::new();
    match open(path, Access::Read) {
        Ok(mut file) => file.read_to_string(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    text.trim().parse().map(Some).map_err(io::Error::other)
}

fn write(path: &str, value: u8) -> io::Result<()> {
    open(path, Access::Write)?.write_all(value.to_string().as_bytes())
}

/// Container runtimes make /proc/sys read-only for everybody who is not privileged, so settings are reached through an instance of
/// procfs of our own, which is mounted nowhere. What it shows below sys/net is the calling thread's namespace (proc_sysctl.c).
fn open(path: &str, access: Access) -> io::Result<File> {
    static PROC: OnceLock<File> = OnceLock::new();
    let proc = match PROC.get() {
        Some(proc) => proc,
        None => {
            let made = sys::detached_proc()?;
            PROC.get_or_init(|| made)
        }
    };
    sys::open_below(proc, path, access)
}
