//! A leg that is an HTTP/2 stream of a tunnel.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};

use super::{Batch, ByteSink, ByteSource, Leg, LegError};

/// Frames that are written together: what one system call of the socket on the other side takes.
const MAX_FRAMES: usize = 32;
/// Bytes taken at once; the stream's window bounds what waits behind.
const APPETITE: usize = 1024 * 1024;

/// A leg of both halves of a CONNECT stream. `guard` lives as long as the stream's reading half.
pub fn stream_leg<Guard>(
    send: SendStream<Bytes>,
    receive: RecvStream,
    guard: Guard,
) -> Leg<StreamSource<Guard>, StreamSink> {
    Leg {
        source: StreamSource {
            receive,
            next: None,
            _guard: guard,
        },
        sink: StreamSink {
            send,
            finished: false,
        },
    }
}

pub struct StreamSource<Guard> {
    receive: RecvStream,
    /// Found by `poll_readable` and not taken yet: a frame, or the end.
    next: Option<Option<Bytes>>,
    _guard: Guard,
}

impl<Guard> StreamSource<Guard> {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, LegError>> {
        if let Some(next) = self.next.take() {
            return Poll::Ready(Ok(next));
        }
        Poll::Ready(
            ready!(self.receive.poll_data(context))
                .transpose()
                .map_err(LegError::from),
        )
    }
}

impl<Guard> ByteSource for StreamSource<Guard> {
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<Result<(), LegError>> {
        while self.next.is_none() {
            let next = ready!(self.poll_next(context))?;
            // An empty frame is no reason to wake the other side.
            if next.as_ref().is_none_or(|chunk| !chunk.is_empty()) {
                self.next = Some(next);
            }
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
        let mut taken = 0;
        while taken < room && batch.len() < MAX_FRAMES {
            match self.poll_next(context)? {
                Poll::Ready(Some(chunk)) => {
                    taken += chunk.len();
                    batch.extend((!chunk.is_empty()).then_some(chunk));
                }
                Poll::Ready(None) if batch.is_empty() => return Poll::Ready(Ok(false)),
                Poll::Ready(None) => {
                    self.next = Some(None);
                    return Poll::Ready(Ok(true));
                }
                Poll::Pending if batch.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(true))
    }

    /// Only now may the peer send as much again: its window follows the slow side.
    fn release(&mut self, bytes: usize) {
        // Fails only where the stream is closed, when credit means nothing any more.
        let _ = self.receive.flow_control().release_capacity(bytes);
    }

    /// The sink of the same stream watches it.
    fn poll_failed(&mut self, _context: &mut Context<'_>) -> Poll<LegError> {
        Poll::Pending
    }
}

pub struct StreamSink {
    send: SendStream<Bytes>,
    finished: bool,
}

impl ByteSink for StreamSink {
    fn poll_room(
        &mut self,
        context: &mut Context<'_>,
        wanted: usize,
    ) -> Poll<Result<usize, LegError>> {
        self.send.reserve_capacity(wanted);
        loop {
            let granted = self.send.capacity();
            if granted > 0 {
                return Poll::Ready(Ok(granted.min(wanted)));
            }
            ready!(self.send.poll_capacity(context))
                .transpose()?
                .ok_or(LegError::Closed)?;
        }
    }

    fn yield_room(&mut self) {
        self.send.reserve_capacity(0);
    }

    fn poll_write(
        &mut self,
        _context: &mut Context<'_>,
        batch: &mut Batch,
    ) -> Poll<Result<usize, LegError>> {
        let mut written = 0;
        for chunk in batch.drain(..) {
            written += chunk.len();
            self.send.send_data(chunk, false)?;
        }
        Poll::Ready(Ok(written))
    }

    fn finish(&mut self) -> Result<(), LegError> {
        self.finished = true;
        self.send
            .send_data(Bytes::new(), true)
            .map_err(LegError::from)
    }

    fn settle(&mut self) {}

    fn reset(&mut self) {
        self.send.send_reset(Reason::CANCEL);
    }

    fn poll_failed(&mut self, context: &mut Context<'_>) -> Poll<LegError> {
        if self.finished {
            return Poll::Pending;
        }
        self.send.poll_reset(context).map(|reset| match reset {
            Ok(_) => LegError::Reset,
            Err(error) => error.into(),
        })
    }
}
