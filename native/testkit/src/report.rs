//! Result lines and names of errors.

use std::io::{self, Write};

use serde_json::Value;

/// One JSON object a line, flushed, because a reader waits for it.
pub fn line(value: &Value) {
    let mut out = io::stdout().lock();
    // A reader that went away is no reason to panic: the exit status still tells.
    let _ = writeln!(out, "{value}").and_then(|()| out.flush());
}

/// `ECONNREFUSED` and its like: what a test compares.
pub fn error_name(error: &io::Error) -> String {
    let Some(code) = error.raw_os_error() else {
        return format!("{:?}", error.kind());
    };
    match name_of(code) {
        Some(name) => name.to_string(),
        None => format!("errno {code}"),
    }
}

fn name_of(code: i32) -> Option<&'static str> {
    Some(match code {
        libc::EPERM => "EPERM",
        libc::EACCES => "EACCES",
        libc::EAGAIN => "EAGAIN",
        libc::EPIPE => "EPIPE",
        libc::EINVAL => "EINVAL",
        libc::EMFILE => "EMFILE",
        libc::ENODEV => "ENODEV",
        libc::EBUSY => "EBUSY",
        libc::EINPROGRESS => "EINPROGRESS",
        libc::EADDRINUSE => "EADDRINUSE",
        libc::EADDRNOTAVAIL => "EADDRNOTAVAIL",
        libc::EAFNOSUPPORT => "EAFNOSUPPORT",
        libc::EPROTONOSUPPORT => "EPROTONOSUPPORT",
        libc::ENOPROTOOPT => "ENOPROTOOPT",
        libc::ENETUNREACH => "ENETUNREACH",
        libc::EHOSTUNREACH => "EHOSTUNREACH",
        libc::ECONNABORTED => "ECONNABORTED",
        libc::ECONNREFUSED => "ECONNREFUSED",
        libc::ECONNRESET => "ECONNRESET",
        libc::ETIMEDOUT => "ETIMEDOUT",
        libc::ENOTCONN => "ENOTCONN",
        libc::ENOSYS => "ENOSYS",
        libc::EOPNOTSUPP => "EOPNOTSUPP",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_carry_the_names_of_the_manual() {
        assert_eq!(
            error_name(&io::Error::from_raw_os_error(libc::ECONNREFUSED)),
            "ECONNREFUSED"
        );
        assert_eq!(
            error_name(&io::Error::from_raw_os_error(9999)),
            "errno 9999"
        );
    }
}
