//! Connections that an enrolled pod's application opened.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use ambit_intercept::OWN_MARK;
use ambit_intercept::sockets::{prepare_accepted, prepare_local_leg};
use socket2::SockRef;
use tokio::net::TcpStream;

use super::capacity::{Place, Places};
use super::client::{reset_by_client, while_wanted};
use super::context::{Pod, ThreadContext, canonical};
use super::join::join;
use super::node_local::Neighbour;
use super::refusal::{Reason, Refused};
use super::route::{Dialler, Upstream, find};
use super::tunnel::TunnelStream;
use crate::api::Transport;
use crate::dns;
use crate::relay::{reset, stream_leg, tcp_leg, tls_leg};
use crate::telemetry::{FlowDescription, Reporters};

/// One accepted connection, to its end.
pub async fn serve(
    context: Rc<ThreadContext>,
    pod: Arc<Pod>,
    socket: TcpStream,
    peer: SocketAddr,
    mut place: Place,
) {
    let Ok(destination) = socket.local_addr().map(canonical) else {
        return context.count(Reason::Socket);
    };
    let mark = SockRef::from(&socket).mark().unwrap_or_default();
    if is_direct(&pod, destination, mark) {
        reset(&socket);
        return context.count(Reason::DirectConnection);
    }
    let client = canonical(peer);
    let mut description = describe(&context, &pod, client, destination);
    if let Err(error) = prepare_accepted(&socket) {
        reset(&socket);
        return context.shared.refuse(
            &description,
            &Refused::new(Reason::Socket, error.to_string()),
        );
    }
    prepare_local_leg(&socket);
    if destination.port() == dns::PORT && pod.spec().dns_capture {
        return dns::serve_stream(context, pod, socket, description, || place.widen()).await;
    }
    // Boxed, so that an open flow does not go on holding what only finding its way took.
    let finding = find(&context, &pod, dialler(mark), &mut description);
    let finding = while_wanted(reset_by_client(&socket), finding);
    match Box::pin(pod.while_here(finding)).await {
        Err(refused) => {
            reset(&socket);
            context.shared.refuse(&description, &refused);
        }
        Ok(Upstream::Tcp(_) | Upstream::Tls(_)) if !place.widen() => {
            reset(&socket);
            context
                .shared
                .refuse(&description, &Refused::over_capacity());
        }
        Ok(upstream) => relay(context, description, socket, upstream, place).await,
    }
}

async fn relay(
    context: Rc<ThreadContext>,
    description: FlowDescription,
    socket: TcpStream,
    upstream: Upstream,
    place: Place,
) {
    let client = tcp_leg(socket);
    match upstream {
        Upstream::Tcp(stream) => {
            let server = tcp_leg(stream);
            join(context, description, None, client, server, place.into()).await;
        }
        Upstream::Tls(stream) => {
            let server = tls_leg(*stream);
            join(context, description, None, client, server, place.into()).await;
        }
        Upstream::Neighbour(Neighbour {
            stream,
            admission,
            place: neighbour,
        }) => {
            let places = Places {
                own: place,
                neighbour: Some(neighbour),
            };
            let (admission, server) = (Some(admission), tcp_leg(stream));
            join(context, description, admission, client, server, places).await;
        }
        Upstream::Stream(TunnelStream {
            send,
            receive,
            lease,
        }) => {
            let server = stream_leg(send, receive, lease);
            join(context, description, None, client, server, place.into()).await;
        }
    }
}

/// A captured connection is marked and always for somebody else's address; any other came to our port by itself, perhaps from
/// outside, where a mark is lost with the namespace that it was made in.
fn is_direct(pod: &Pod, destination: SocketAddr, mark: u32) -> bool {
    mark & pod.mark == 0 || destination.ip().is_loopback() || pod.has_address(destination.ip())
}

fn dialler(mark: u32) -> Dialler {
    if mark & OWN_MARK == 0 {
        Dialler::Anybody
    } else {
        Dialler::Proxy
    }
}

fn describe(
    context: &ThreadContext,
    pod: &Pod,
    client: SocketAddr,
    destination: SocketAddr,
) -> FlowDescription {
    let spec = pod.spec();
    FlowDescription {
        reporters: Reporters::Source,
        source_pod: Some(spec.uid.clone()),
        destination_pod: None,
        source: client,
        original_destination: destination,
        destination,
        hbone_address: None,
        source_workload: context.shared.workload(Some(&spec.workload)),
        destination_workload: None,
        service: None,
        transport: Transport::Plaintext,
        source_identity: None,
        destination_identity: None,
    }
}
