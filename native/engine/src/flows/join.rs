//! From two legs to a relay that is measured and can be cut.

use std::rc::Rc;

use super::admissions::Admission;
use super::capacity::Places;
use super::context::ThreadContext;
use crate::relay::{ByteSink, ByteSource, Leg, LegError, Relay, RelayError};
use crate::telemetry::{CancelHandle, FlowDescription, FlowEnd, FlowStart, ResponseFlags};

/// Relays until both ends are done, one breaks off, or the flow is cut.
pub async fn join<ClientSource, ClientSink, ServerSource, ServerSink>(
    context: Rc<ThreadContext>,
    description: FlowDescription,
    admission: Option<Admission>,
    client: Leg<ClientSource, ClientSink>,
    server: Leg<ServerSource, ServerSink>,
    places: Places,
) where
    ClientSource: ByteSource,
    ClientSink: ByteSink,
    ServerSource: ByteSource,
    ServerSink: ByteSink,
{
    let cancel = admission
        .as_ref()
        .map_or_else(CancelHandle::new, |admission| admission.cancel().clone());
    let flow = context.shared.telemetry.open(FlowStart {
        description,
        cancel: cancel.clone(),
    });
    // Only now is the flow one of those that are cut when a pod goes; the pod may have gone before.
    if places.is_cut() {
        cancel.cancel("the pod was removed meanwhile");
    }
    let mut relay = Relay::new(client, server);
    let end = tokio::select! {
        biased;
        reason = cancel.cancelled() => {
            relay.reset();
            let flags = admission.as_ref().map_or(ResponseFlags::None, Admission::flags);
            FlowEnd::failed(flags, reason)
        }
        ended = relay.run(|bytes| flow.received(bytes), |bytes| flow.sent(bytes)) => end_of(ended),
    };
    flow.finish(end);
    drop((admission, places));
}

/// A reset by either end is a way to say goodbye, as in stock peers' logs; everything else is an error.
fn end_of(ended: Result<(), RelayError>) -> FlowEnd {
    match ended {
        Ok(()) | Err(RelayError::Client(LegError::Reset) | RelayError::Server(LegError::Reset)) => {
            FlowEnd::complete()
        }
        Err(RelayError::Client(error)) => {
            FlowEnd::failed(ResponseFlags::None, format!("client: {error}"))
        }
        Err(RelayError::Server(error)) => {
            FlowEnd::failed(ResponseFlags::None, format!("server: {error}"))
        }
    }
}
