//! Messages over streams, each behind its length (RFC 1035, 4.2.2), whatever the stream is made of.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::task::ready;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::time::timeout;

use crate::relay::{ByteSink, ByteSource, LegError};

/// How long one side may say nothing that it could say.
const IDLE: Duration = Duration::from_secs(30);
/// The length is of two bytes.
pub const LONGEST: usize = u16::MAX as usize;

/// Of one side. What it holds is at most one message and what one read brings besides.
pub struct Messages<Source> {
    source: Source,
    chunks: VecDeque<Bytes>,
    bytes: BytesMut,
}

impl<Source: ByteSource> Messages<Source> {
    pub fn new(source: Source) -> Self {
        Messages {
            source,
            chunks: VecDeque::new(),
            bytes: BytesMut::new(),
        }
    }

    /// `None` at the end of the stream.
    pub async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        timeout(IDLE, self.read()).await?
    }

    async fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(message) = self.complete() {
                return Ok(Some(message));
            }
            if !self.take().await.map_err(io::Error::other)? {
                let cut = !self.bytes.is_empty();
                return if cut {
                    Err(io::ErrorKind::UnexpectedEof.into())
                } else {
                    Ok(None)
                };
            }
        }
    }

    fn complete(&mut self) -> Option<Vec<u8>> {
        let head = self.bytes.first_chunk()?;
        let length = usize::from(u16::from_be_bytes(*head));
        if self.bytes.len() < head.len() + length {
            return None;
        }
        self.bytes.advance(size_of::<u16>());
        Some(self.bytes.split_to(length).to_vec())
    }

    /// `false` at the end of the stream.
    async fn take(&mut self) -> Result<bool, LegError> {
        let taken = poll_fn(|context| {
            ready!(self.source.poll_readable(context))?;
            self.source.poll_take(context, LONGEST, &mut self.chunks)
        });
        let more = taken.await?;
        for chunk in self.chunks.drain(..) {
            self.source.release(chunk.len());
            self.bytes.extend_from_slice(&chunk);
        }
        Ok(more)
    }
}

/// Length and message at once: some clients read both in one go.
pub async fn write(sink: &mut impl ByteSink, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    let framed = Bytes::from([&length.to_be_bytes(), message].concat());
    let writing = timeout(IDLE, write_all(sink, framed)).await?;
    writing.map_err(io::Error::other)
}

async fn write_all(sink: &mut impl ByteSink, mut bytes: Bytes) -> Result<(), LegError> {
    while !bytes.is_empty() {
        let room = poll_fn(|context| sink.poll_room(context, bytes.len())).await?;
        let mut chunks = VecDeque::from([bytes.split_to(room.min(bytes.len()))]);
        while !chunks.is_empty() {
            poll_fn(|context| sink.poll_write(context, &mut chunks)).await?;
        }
    }
    Ok(())
}
