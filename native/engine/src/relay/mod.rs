//! Carries bytes between two legs of a flow: half-closes and resets go through, a slow side slows the other, and an idle
//! flow holds no buffer. Knows what a leg can do, not what it is made of, so that another codec can take h2's place.

mod buffers;
mod error;
mod pump;
mod stream_leg;
mod tcp_leg;
mod tls_leg;

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;

pub use buffers::{Buffer, ReadSize};
pub use error::LegError;
use pump::Pump;
pub use stream_leg::stream_leg;
pub use tcp_leg::{TcpSink, TcpSource, receive, reset, tcp_leg};
pub use tls_leg::tls_leg;

/// Chunks taken from one side and not yet given to the other.
type Batch = std::collections::VecDeque<Bytes>;

/// The reading half of a leg.
pub trait ByteSource {
    /// Ready when there is something to take: bytes, the end, or a failure.
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<Result<(), LegError>>;

    /// How many bytes the next take would like.
    fn appetite(&self) -> usize;

    /// Takes at most `room` bytes into `batch`; `false` is the end of the stream.
    fn poll_take(
        &mut self,
        context: &mut Context<'_>,
        room: usize,
        batch: &mut Batch,
    ) -> Poll<Result<bool, LegError>>;

    /// The other side took so many bytes: credit may be given for them.
    fn release(&mut self, bytes: usize);

    /// Ready when the leg has failed, also while nothing is read from it.
    fn poll_failed(&mut self, context: &mut Context<'_>) -> Poll<LegError>;
}

/// The writing half of a leg.
pub trait ByteSink {
    /// Ready with how many bytes may be written now, at least one and at most `wanted`.
    fn poll_room(
        &mut self,
        context: &mut Context<'_>,
        wanted: usize,
    ) -> Poll<Result<usize, LegError>>;

    /// Gives back room that was granted and is not used.
    fn yield_room(&mut self);

    /// Writes from the front of `batch`; how many bytes went.
    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        batch: &mut Batch,
    ) -> Poll<Result<usize, LegError>>;

    /// No more bytes will come.
    fn finish(&mut self) -> Result<(), LegError>;

    /// Both directions have ended in order: the close that follows must still send what is queued.
    fn settle(&mut self);

    /// Breaks the leg off, so that its peer sees a reset and not an end.
    fn reset(&mut self);

    /// Ready when the leg has failed, also while nothing is written to it.
    fn poll_failed(&mut self, context: &mut Context<'_>) -> Poll<LegError>;
}

/// Which side of a relay failed.
#[derive(Debug)]
pub enum RelayError {
    Client(LegError),
    Server(LegError),
}

/// Both halves of a leg.
pub struct Leg<Source, Sink> {
    pub source: Source,
    pub sink: Sink,
}

/// A relay about to run: from the client to the server and back.
pub struct Relay<ClientSource, ClientSink, ServerSource, ServerSink> {
    request: Pump<ClientSource, ServerSink>,
    response: Pump<ServerSource, ClientSink>,
}

impl<ClientSource, ClientSink, ServerSource, ServerSink>
    Relay<ClientSource, ClientSink, ServerSource, ServerSink>
where
    ClientSource: ByteSource,
    ClientSink: ByteSink,
    ServerSource: ByteSource,
    ServerSink: ByteSink,
{
    pub fn new(
        client: Leg<ClientSource, ClientSink>,
        server: Leg<ServerSource, ServerSink>,
    ) -> Self {
        Relay {
            request: Pump::new(client.source, server.sink),
            response: Pump::new(server.source, client.sink),
        }
    }

    /// Runs until both directions ended or one failed; a failure resets both legs. `received` and `sent` are told of
    /// request and response bytes as they go.
    pub async fn run(
        &mut self,
        received: impl Fn(u64),
        sent: impl Fn(u64),
    ) -> Result<(), RelayError> {
        let ended = poll_fn(|context| self.poll(context, &received, &sent)).await;
        match ended {
            Ok(()) => self.settle(),
            Err(_) => self.reset(),
        }
        ended
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
        received: &impl Fn(u64),
        sent: &impl Fn(u64),
    ) -> Poll<Result<(), RelayError>> {
        let request = self
            .request
            .poll(context, received)
            .map_err(|failure| failure.of(RelayError::Client, RelayError::Server))?;
        let response = self
            .response
            .poll(context, sent)
            .map_err(|failure| failure.of(RelayError::Server, RelayError::Client))?;
        if request.is_ready() && response.is_ready() {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    fn settle(&mut self) {
        self.request.sink.settle();
        self.response.sink.settle();
    }

    /// Breaks both legs off.
    pub fn reset(&mut self) {
        self.request.sink.reset();
        self.response.sink.reset();
    }
}

#[cfg(test)]
mod tests;
