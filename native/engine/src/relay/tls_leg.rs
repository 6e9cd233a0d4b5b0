//! A leg that is a TLS connection of the engine's own.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::tcp_leg::reset;
use super::{Batch, ByteSink, ByteSource, Leg, LegError};

/// What one TLS record holds.
const APPETITE: usize = 16 * 1024;

/// Splits a connection into a leg. As with a bare socket, its close is a reset until both directions have ended in order.
pub fn tls_leg(stream: TlsStream<TcpStream>) -> Leg<TlsSource, TlsSink> {
    reset(stream.get_ref().0);
    let connection = Rc::new(RefCell::new(Connection {
        stream,
        closing: false,
    }));
    Leg {
        source: TlsSource {
            connection: connection.clone(),
            next: None,
        },
        sink: TlsSink {
            connection,
            sealed: 0,
        },
    }
}

struct Connection {
    stream: TlsStream<TcpStream>,
    /// The end of what we send has been asked for and is not on its way yet.
    closing: bool,
}

impl Connection {
    fn stream(&mut self) -> Pin<&mut TlsStream<TcpStream>> {
        Pin::new(&mut self.stream)
    }

    fn socket(&self) -> &TcpStream {
        self.stream.get_ref().0
    }

    /// An error shows at the source, which reads on.
    fn poll_close(&mut self, context: &mut Context<'_>) {
        if self.closing && self.stream().poll_shutdown(context).is_ready() {
            self.closing = false;
        }
    }

    /// An empty chunk is the end of the stream.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let mut storage = vec![0; APPETITE];
        let mut buffer = ReadBuf::new(&mut storage);
        ready!(self.stream().poll_read(context, &mut buffer))?;
        let read = buffer.filled().len();
        storage.truncate(read);
        Poll::Ready(Ok(storage.into()))
    }
}

pub struct TlsSource {
    connection: Rc<RefCell<Connection>>,
    /// Read and not taken yet.
    next: Option<Bytes>,
}

impl ByteSource for TlsSource {
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<Result<(), LegError>> {
        let mut connection = self.connection.borrow_mut();
        connection.poll_close(context);
        if self.next.is_none() {
            self.next = Some(ready!(connection.poll_read(context)).map_err(of_tls)?);
        }
        Poll::Ready(Ok(()))
    }

    fn appetite(&self) -> usize {
        APPETITE
    }

    fn poll_take(
        &mut self,
        context: &mut Context<'_>,
        room: usize,
        batch: &mut Batch,
    ) -> Poll<Result<bool, LegError>> {
        ready!(self.poll_readable(context))?;
        let Some(mut chunk) = self.next.take().filter(|chunk| !chunk.is_empty()) else {
            return Poll::Ready(Ok(false));
        };
        if chunk.len() > room {
            self.next = Some(chunk.split_off(room));
        }
        batch.push_back(chunk);
        Poll::Ready(Ok(true))
    }

    fn release(&mut self, _bytes: usize) {}

    /// Noticed by the next read or write. An end that is still to be sent goes on its way here.
    fn poll_failed(&mut self, context: &mut Context<'_>) -> Poll<LegError> {
        self.connection.borrow_mut().poll_close(context);
        Poll::Pending
    }
}

/// A server that closes without saying so breaks off.
fn of_tls(error: io::Error) -> LegError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => LegError::Reset,
        _ => error.into(),
    }
}

pub struct TlsSink {
    connection: Rc<RefCell<Connection>>,
    /// Bytes at the front of the batch that are sealed, and not given to the socket altogether.
    sealed: usize,
}

impl ByteSink for TlsSink {
    fn poll_room(
        &mut self,
        _context: &mut Context<'_>,
        wanted: usize,
    ) -> Poll<Result<usize, LegError>> {
        Poll::Ready(Ok(wanted))
    }

    fn yield_room(&mut self) {}

    /// Says that bytes went only when the socket has them: whoever waits for that is polled again, nobody else would be.
    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        batch: &mut Batch,
    ) -> Poll<Result<usize, LegError>> {
        let mut connection = self.connection.borrow_mut();
        let Some(front) = batch.front_mut() else {
            return Poll::Ready(Ok(0));
        };
        if self.sealed == 0 {
            self.sealed = ready!(connection.stream().poll_write(context, front))?;
        }
        ready!(connection.stream().poll_flush(context))?;
        let written = std::mem::take(&mut self.sealed);
        front.advance(written);
        if front.is_empty() {
            batch.pop_front();
        }
        Poll::Ready(Ok(written))
    }

    /// What the socket does not take at once goes when the source is polled.
    fn finish(&mut self) -> Result<(), LegError> {
        let mut connection = self.connection.borrow_mut();
        connection.closing = true;
        connection.poll_close(&mut Context::from_waker(Waker::noop()));
        Ok(())
    }

    fn settle(&mut self) {
        let _ = SockRef::from(self.connection.borrow().socket()).set_linger(None);
    }

    fn reset(&mut self) {
        reset(self.connection.borrow().socket());
    }

    /// The source of the same connection watches it.
    fn poll_failed(&mut self, _context: &mut Context<'_>) -> Poll<LegError> {
        Poll::Pending
    }
}
