use std::io;

/// Why a leg failed.
#[derive(Debug, thiserror::Error)]
pub enum LegError {
    #[error("the connection was reset")]
    Reset,
    #[error(transparent)]
    Io(io::Error),
    #[error(transparent)]
    Stream(h2::Error),
    /// The stream takes no more bytes, for its tunnel is gone.
    #[error("the tunnel is closed")]
    Closed,
}

impl From<io::Error> for LegError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => LegError::Reset,
            _ => LegError::Io(error),
        }
    }
}

impl From<h2::Error> for LegError {
    fn from(error: h2::Error) -> Self {
        if error.is_reset() {
            LegError::Reset
        } else {
            LegError::Stream(error)
        }
    }
}
