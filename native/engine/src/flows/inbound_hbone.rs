//! Tunnels from other nodes, and the streams on them.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use h2::RecvStream;
use http::{HeaderMap, Method, Request, StatusCode};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::admissions::Admission;
use super::capacity::Place;
use super::client::while_wanted;
use super::context::{Pod, ThreadContext, canonical};
use super::entry::{Entrant, enter};
use super::handshakes::Handshake;
use super::join::join;
use super::refusal::{Reason, Refused};
use crate::api::Transport;
use crate::drain::Phase;
use crate::hbone::headers::{TargetError, forwarded_port, response_headers, target};
use crate::hbone::server::{AcceptError, Incoming, ServerConnection, TunnelPeer, accept, drive};
use crate::relay::{reset, stream_leg, tcp_leg};
use crate::telemetry::{FlowDescription, Reporters};

/// The TCP connection under a tunnel, and who is at its other end.
#[derive(Clone)]
struct Tunnel {
    peer: SocketAddr,
    hit: SocketAddr,
    identity: Arc<str>,
}

/// One accepted connection, to its end.
pub async fn serve(
    context: Rc<ThreadContext>,
    pod: Arc<Pod>,
    socket: TcpStream,
    peer: SocketAddr,
    place: Place,
) {
    let Ok(hit) = socket.local_addr().map(canonical) else {
        return context.count(Reason::Socket);
    };
    let handshake = pod.begin_handshake(canonical(peer).ip());
    let shaking = shake_hands(&context, &pod, socket, handshake);
    match Box::pin(pod.while_here(shaking)).await {
        Err(reason) => context.count(reason),
        Ok((
            connection,
            TunnelPeer {
                identity,
                valid_for,
            },
        )) => {
            let tunnel = Tunnel {
                peer: canonical(peer),
                hit,
                identity,
            };
            Box::pin(carry(&context, &pod, connection, tunnel, valid_for)).await;
        }
    }
    drop(place);
}

async fn shake_hands(
    context: &ThreadContext,
    pod: &Pod,
    socket: TcpStream,
    handshake: Handshake,
) -> Result<(ServerConnection, TunnelPeer), Reason> {
    let limit = context.shared.connect_timeout;
    socket.set_nodelay(true).map_err(|_| Reason::Socket)?;
    let shaking = async {
        let credentials = context
            .shared
            .identities
            .wait(&pod.spec().identity, limit)
            .await
            .ok_or(Reason::NoIdentity)?;
        accept(socket, credentials.server())
            .await
            .map_err(|error| match error {
                AcceptError::Tls(_) => Reason::TlsFailed,
                AcceptError::Http2(_) => Reason::Http2Failed,
            })
    };
    match timeout(limit, handshake.while_there_is_room(shaking)).await {
        Ok(Some(shaken)) => shaken,
        Ok(None) => Err(Reason::TooManyHandshakes),
        Err(_) => Err(Reason::HandshakeTimeout),
    }
}

async fn carry(
    context: &Rc<ThreadContext>,
    pod: &Arc<Pod>,
    connection: ServerConnection,
    tunnel: Tunnel,
    valid_for: Duration,
) {
    let on_stream = |incoming: Incoming| match pod.admit() {
        Some(place) => {
            let flow = stream(
                context.clone(),
                pod.clone(),
                tunnel.clone(),
                incoming,
                place,
            );
            tokio::task::spawn_local(flow);
        }
        None => {
            context.count(Reason::TooManyFlows);
            incoming.refuse(StatusCode::SERVICE_UNAVAILABLE);
        }
    };
    // A certificate that has run out speaks for no new stream: the client is sent away to show its next one.
    let draining = async {
        let _ = timeout(valid_for, pod.drain.reached(Phase::Draining)).await;
    };
    let ended = drive(
        connection,
        on_stream,
        draining,
        pod.drain.reached(Phase::Closed),
    )
    .await;
    // A peer that vanished is no violation; one that broke the protocol is.
    if ended.is_err_and(|error| !error.is_io()) {
        context.count(Reason::Http2Violation);
    }
}

/// A refusal and the status that tells the peer of it.
struct Answer(StatusCode, Refused);

impl From<Refused> for Answer {
    fn from(refused: Refused) -> Self {
        let status = match refused.reason {
            Reason::PolicyDenied => StatusCode::UNAUTHORIZED,
            Reason::ForeignAddress => StatusCode::BAD_REQUEST,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Answer(status, refused)
    }
}

async fn stream(
    context: Rc<ThreadContext>,
    pod: Arc<Pod>,
    tunnel: Tunnel,
    mut incoming: Incoming,
    place: Place,
) {
    let mut description = describe(&context, &pod, &tunnel);
    let (request, taken_back) = incoming.parts();
    let connecting = connect(&context, &pod, &tunnel, request, &mut description);
    let connecting = while_wanted(taken_back, connecting);
    match Box::pin(pod.while_here(connecting)).await {
        Err(Answer(status, refused)) => {
            incoming.refuse(status);
            context.shared.refuse(&description, &refused);
        }
        Ok((socket, admission)) => {
            let mut headers = HeaderMap::new();
            response_headers(&mut headers, description.destination_workload.as_deref());
            match incoming.accept(headers) {
                Ok((send, receive)) => {
                    join(
                        context,
                        description,
                        Some(admission),
                        stream_leg(send, receive, ()),
                        tcp_leg(socket),
                        place.into(),
                    )
                    .await;
                }
                Err(error) => {
                    reset(&socket);
                    context.shared.refuse(
                        &description,
                        &Refused::new(Reason::TunnelFailed, error.to_string()),
                    );
                }
            }
        }
    }
}

fn describe(context: &ThreadContext, pod: &Pod, tunnel: &Tunnel) -> FlowDescription {
    let spec = pod.spec();
    FlowDescription {
        reporters: Reporters::Destination,
        source_pod: None,
        destination_pod: Some(spec.uid.clone()),
        source: tunnel.peer,
        original_destination: tunnel.hit,
        destination: tunnel.hit,
        hbone_address: None,
        source_workload: None,
        destination_workload: context.shared.workload(Some(&spec.workload)),
        service: None,
        transport: Transport::MutualTls,
        source_identity: Some(tunnel.identity.clone()),
        destination_identity: Some(spec.identity.clone()),
    }
}

async fn connect(
    context: &ThreadContext,
    pod: &Pod,
    tunnel: &Tunnel,
    request: &Request<RecvStream>,
    description: &mut FlowDescription,
) -> Result<(TcpStream, Admission), Answer> {
    let _pass = pod.begin_flow()?;
    let target = requested(pod, tunnel, request)?;
    description.hbone_address = Some(target);
    description.original_destination = target;
    let entrant = Entrant {
        client: tunnel.peer,
        own_port: forwarded_port(request.headers()),
        identity: Some(tunnel.identity.clone()),
        target,
        transport: Transport::MutualTls,
    };
    Ok(enter(context, pod, &entrant, description).await?)
}

/// The target, once it is certain that it is this pod's application, or what its proxy stands before, and nothing else.
fn requested(
    pod: &Pod,
    tunnel: &Tunnel,
    request: &Request<RecvStream>,
) -> Result<SocketAddr, Answer> {
    let refuse =
        |status, reason, message: String| Err(Answer(status, Refused::new(reason, message)));
    if request.method() != Method::CONNECT {
        let message = format!("the method {} is not CONNECT", request.method());
        return refuse(StatusCode::BAD_REQUEST, Reason::NotConnect, message);
    }
    let asked = match target(request) {
        Ok(asked) => asked,
        Err(TargetError::Malformed) => {
            let message = "the authority is not an address and a port".to_owned();
            return refuse(StatusCode::BAD_REQUEST, Reason::BadAuthority, message);
        }
        Err(TargetError::Hostname) => {
            let message = "the authority is a name, which is not resolved here".to_owned();
            return refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                Reason::HostnameAuthority,
                message,
            );
        }
    };
    let asked = canonical(asked);
    let elsewhere = asked.ip() != tunnel.hit.ip();
    if elsewhere && !pod.spec().handover {
        let message = format!("asked for {asked} by way of {}", tunnel.hit.ip());
        return refuse(StatusCode::BAD_REQUEST, Reason::ForeignAuthority, message);
    }
    pod.may_be_asked_for(asked)?;
    Ok(asked)
}
