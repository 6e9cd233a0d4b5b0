//! The three settings of a pod's namespace that let answers to marked packets be marked too. Everything here acts in the
//! calling thread's namespace.

use std::fs;
use std::io;

use crate::abi::SETTING_ABSENT;

/// In the order of `amb_pod.previous`. Without the reflection a closed application port hangs instead of being refused.
const PATHS: [&str; 3] = [
    "/proc/sys/net/ipv4/tcp_fwmark_accept",
    "/proc/sys/net/ipv4/fwmark_reflect",
    "/proc/sys/net/ipv6/fwmark_reflect",
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
            fs::write(path, "1")?;
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
            fs::write(path, before.to_string())?;
            changed += 1;
        }
    }
    Ok(changed)
}

fn read(path: &str) -> io::Result<Option<u8>> {
    match fs::read_to_string(path) {
        Ok(text) => text.trim().parse().map(Some).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
