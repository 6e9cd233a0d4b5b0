//! One direction of a relay.

use std::task::{Context, Poll, ready};

use super::{Batch, ByteSink, ByteSource, LegError};

/// A failure and the end of the pump that it came from.
pub enum PumpError {
    Source(LegError),
    Sink(LegError),
}

impl PumpError {
    pub fn of<T>(self, source: impl FnOnce(LegError) -> T, sink: impl FnOnce(LegError) -> T) -> T {
        match self {
            PumpError::Source(error) => source(error),
            PumpError::Sink(error) => sink(error),
        }
    }
}

pub struct Pump<Source, Sink> {
    pub source: Source,
    pub sink: Sink,
    batch: Batch,
    ended: bool,
}

impl<Source: ByteSource, Sink: ByteSink> Pump<Source, Sink> {
    pub fn new(source: Source, sink: Sink) -> Self {
        Pump {
            source,
            sink,
            batch: Batch::new(),
            ended: false,
        }
    }

    /// Ready when the end of the stream has been passed on. May be polled again afterwards, to notice a late failure.
    pub fn poll(
        &mut self,
        context: &mut Context<'_>,
        count: &impl Fn(u64),
    ) -> Poll<Result<(), PumpError>> {
        while !self.ended {
            if self.batch.is_empty() {
                ready!(self.poll_take(context))?;
            } else {
                ready!(self.poll_give(context, count))?;
            }
        }
        if let Poll::Ready(error) = self.source.poll_failed(context) {
            return Poll::Ready(Err(PumpError::Source(error)));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_take(&mut self, context: &mut Context<'_>) -> Poll<Result<(), PumpError>> {
        if self
            .source
            .poll_readable(context)
            .map_err(PumpError::Source)?
            .is_pending()
        {
            return self.idle(context);
        }
        let Poll::Ready(room) = self
            .sink
            .poll_room(context, self.source.appetite())
            .map_err(PumpError::Sink)?
        else {
            return self.poll_source_failed(context);
        };
        match self
            .source
            .poll_take(context, room, &mut self.batch)
            .map_err(PumpError::Source)?
        {
            Poll::Ready(true) => Poll::Ready(Ok(())),
            Poll::Ready(false) => Poll::Ready(self.finish()),
            Poll::Pending => self.idle(context),
        }
    }

    fn finish(&mut self) -> Result<(), PumpError> {
        self.ended = true;
        self.sink.yield_room();
        self.sink.finish().map_err(PumpError::Sink)
    }

    /// Nothing to carry: hold no room and no memory, and notice when the far side breaks off.
    fn idle(&mut self, context: &mut Context<'_>) -> Poll<Result<(), PumpError>> {
        self.sink.yield_room();
        self.batch = Batch::new();
        self.sink
            .poll_failed(context)
            .map(|error| Err(PumpError::Sink(error)))
    }

    fn poll_give(
        &mut self,
        context: &mut Context<'_>,
        count: &impl Fn(u64),
    ) -> Poll<Result<(), PumpError>> {
        match self
            .sink
            .poll_write(context, &mut self.batch)
            .map_err(PumpError::Sink)?
        {
            Poll::Ready(written) => {
                self.source.release(written);
                count(written as u64);
                Poll::Ready(Ok(()))
            }
            Poll::Pending => self.poll_source_failed(context),
        }
    }

    /// While the sink is slow nothing is read, so a reset of the source has to be looked for.
    fn poll_source_failed(&mut self, context: &mut Context<'_>) -> Poll<Result<(), PumpError>> {
        self.source
            .poll_failed(context)
            .map(|error| Err(PumpError::Source(error)))
    }
}
