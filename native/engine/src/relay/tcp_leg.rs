//! A leg that is a TCP socket.

use std::future::Future;
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::buffers::{Buffer, ReadSize};
use super::{Batch, ByteSink, ByteSource, Leg, LegError};

/// Enough for the frames that one read of a tunnel brings.
const MAX_SLICES: usize = 32;

/// Splits a connected, non-blocking socket into a leg. Until both directions have ended in order its close is a reset: a
/// process that is killed runs no code of ours, and the application must not take its death for the end of the stream.
pub fn tcp_leg(stream: TcpStream) -> Leg<TcpSource, TcpSink> {
    reset(&stream);
    let stream = Rc::new(stream);
    Leg {
        source: TcpSource {
            stream: stream.clone(),
            size: ReadSize::default(),
            failed: None,
        },
        sink: TcpSink {
            stream,
            settled: false,
        },
    }
}

/// Makes the socket's close an RST, as the peer would see from a process that died.
pub fn reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

pub struct TcpSource {
    stream: Rc<TcpStream>,
    size: ReadSize,
    /// Made only while nothing is read; a reader sees failures by itself.
    failed: Option<Pin<Box<dyn Future<Output = LegError>>>>,
}

impl TcpSource {
    fn read(&mut self, room: usize) -> io::Result<Option<Buffer>> {
        let mut buffer = self.size.lend();
        let limit = room.min(self.size.bytes());
        let read = receive(&self.stream, buffer.storage(), limit)?;
        self.size.adapt(read, limit);
        Ok((read > 0).then_some(buffer))
    }
}

/// One `recv`; 0 is the end. A short read clears the readiness, which saves the call that would only say "nothing": epoll
/// reports again what comes later, and a FIN that is queued already stays visible as read-closed.
pub fn receive(stream: &TcpStream, storage: &mut Vec<u8>, limit: usize) -> io::Result<usize> {
    let mut short = None;
    let result = stream.try_io(Interest::READABLE, || {
        // SAFETY: the pointer and length describe spare capacity of `storage`, which lives over the call.
        let read = unsafe {
            libc::recv(
                stream.as_raw_fd(),
                storage.as_mut_ptr().cast(),
                limit.min(storage.capacity()),
                0,
            )
        };
        let read = usize::try_from(read).map_err(|_| io::Error::last_os_error())?;
        if read > 0 && read < limit {
            short = Some(read);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(read)
    });
    let read = match short {
        Some(read) => read,
        None => result?,
    };
    // SAFETY: the kernel has written `read` bytes from the start of `storage`.
    unsafe { storage.set_len(read) };
    Ok(read)
}

impl ByteSource for TcpSource {
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<Result<(), LegError>> {
        self.failed = None;
        self.stream.poll_read_ready(context).map_err(LegError::from)
    }

    fn appetite(&self) -> usize {
        self.size.bytes()
    }

    fn poll_take(
        &mut self,
        context: &mut Context<'_>,
        room: usize,
        batch: &mut Batch,
    ) -> Poll<Result<bool, LegError>> {
        loop {
            match self.read(room) {
                Ok(None) => return Poll::Ready(Ok(false)),
                Ok(Some(buffer)) => {
                    batch.push_back(Bytes::from_owner(buffer));
                    return Poll::Ready(Ok(true));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.stream.poll_read_ready(context))?
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    fn release(&mut self, _bytes: usize) {}

    fn poll_failed(&mut self, context: &mut Context<'_>) -> Poll<LegError> {
        let stream = &self.stream;
        let failed = self.failed.get_or_insert_with(|| {
            let stream = stream.clone();
            Box::pin(async move { failure(&stream).await })
        });
        failed.as_mut().poll(context)
    }
}

/// A reset raises EPOLLERR, also where the end of the stream has been read before.
async fn failure(stream: &TcpStream) -> LegError {
    if let Err(error) = stream.ready(Interest::ERROR).await {
        return error.into();
    }
    match stream.take_error() {
        Ok(Some(error)) | Err(error) => error.into(),
        Ok(None) => LegError::Reset,
    }
}

pub struct TcpSink {
    stream: Rc<TcpStream>,
    /// Its close is no reset any more.
    settled: bool,
}

impl TcpSink {
    fn write(&self, batch: &Batch) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut total = 0;
        let mut used = 0;
        for (slice, chunk) in slices.iter_mut().zip(batch) {
            *slice = IoSlice::new(chunk);
            total += chunk.len();
            used += 1;
        }
        send(&self.stream, &slices[..used], total)
    }
}

/// One `sendmsg`; a partial write clears the readiness as a short read does.
fn send(stream: &TcpStream, slices: &[IoSlice<'_>], total: usize) -> io::Result<usize> {
    let mut partial = None;
    let result = stream.try_io(Interest::WRITABLE, || {
        let written = SockRef::from(stream).send_vectored_with_flags(slices, libc::MSG_NOSIGNAL)?;
        if written < total {
            partial = Some(written);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(written)
    });
    match partial {
        Some(written) => Ok(written),
        None => result,
    }
}

fn advance(batch: &mut Batch, mut written: usize) {
    while let Some(front) = batch.front_mut() {
        if written < front.len() {
            front.advance(written);
            return;
        }
        written -= front.len();
        batch.pop_front();
    }
}

impl ByteSink for TcpSink {
    /// What a socket takes is only known by writing; the pump holds the rest meanwhile.
    fn poll_room(
        &mut self,
        _context: &mut Context<'_>,
        wanted: usize,
    ) -> Poll<Result<usize, LegError>> {
        Poll::Ready(Ok(wanted))
    }

    fn yield_room(&mut self) {}

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        batch: &mut Batch,
    ) -> Poll<Result<usize, LegError>> {
        loop {
            ready!(self.stream.poll_write_ready(context))?;
            match self.write(batch) {
                Ok(written) => {
                    advance(batch, written);
                    return Poll::Ready(Ok(written));
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    fn finish(&mut self) -> Result<(), LegError> {
        match SockRef::from(&*self.stream).shutdown(std::net::Shutdown::Write) {
            // The peer was faster to close; its reset, if it was one, shows at the source.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            other => other.map_err(LegError::from),
        }
    }

    fn settle(&mut self) {
        self.settled = SockRef::from(&*self.stream).set_linger(None).is_ok();
    }

    /// A close is a reset anyway until it is settled: no call for each of thousands that end at once.
    fn reset(&mut self) {
        if self.settled {
            reset(&self.stream);
        }
    }

    /// The source of the same socket watches it.
    fn poll_failed(&mut self, _context: &mut Context<'_>) -> Poll<LegError> {
        Poll::Pending
    }
}
