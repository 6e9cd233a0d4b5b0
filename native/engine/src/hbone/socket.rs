//! The socket under a tunnel's TLS. rustls asks for 4 KiB at a time, which would be four system calls a record; this reads
//! as much as the socket has into a lent buffer and serves those small reads from memory.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::relay::{Buffer, ReadSize, receive};

pub struct TunnelSocket {
    stream: TcpStream,
    /// Read from the socket and not yet served, and how much of it was; absent while nothing is in flight.
    held: Option<(Buffer, usize)>,
    size: ReadSize,
}

impl TunnelSocket {
    pub fn new(stream: TcpStream) -> Self {
        TunnelSocket {
            stream,
            held: None,
            size: ReadSize::default(),
        }
    }

    fn serve(&mut self, target: &mut ReadBuf<'_>) -> bool {
        let Some((buffer, served)) = &mut self.held else {
            return false;
        };
        let rest = &buffer.as_ref()[*served..];
        let count = rest.len().min(target.remaining());
        target.put_slice(&rest[..count]);
        *served += count;
        if *served == buffer.as_ref().len() {
            self.held = None;
        }
        true
    }

    /// `false` at the end of the stream.
    fn fill(&mut self) -> io::Result<bool> {
        let mut buffer = self.size.lend();
        let limit = self.size.bytes();
        let read = receive(&self.stream, buffer.storage(), limit)?;
        self.size.adapt(read, limit);
        self.held = (read > 0).then_some((buffer, 0));
        Ok(read > 0)
    }
}

impl AsyncRead for TunnelSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.serve(target) {
                return Poll::Ready(Ok(()));
            }
            ready!(self.stream.poll_read_ready(context))?;
            match self.fill() {
                Ok(true) => {}
                Ok(false) => return Poll::Ready(Ok(())),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for TunnelSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
