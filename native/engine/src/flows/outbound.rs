//! Connections that an enrolled pod's application opened.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use ambit_intercept::sockets::{prepare_accepted, prepare_local_leg};
use tokio::net::TcpStream;

use super::capacity::{Place, Places};
use super::client::{reset_by_client, while_wanted};
use super::context::{Pod, ThreadContext, canonical};
use super::dial::dial;
use super::join::join;
use super::node_local::{self, Neighbour};
use super::refusal::{Reason, Refused};
use super::tunnel::{TunnelStream, open_stream, tunnel_address};
use crate::api::{
    Endpoint, OutboundAction, OutboundQuestion, OutboundVerdict, Protocol, Transport,
};
use crate::directory::pick;
use crate::hbone::headers::ConnectRequest;
use crate::relay::{reset, stream_leg, tcp_leg};
use crate::telemetry::{FlowDescription, Reporters};

/// What the application's connection is joined to.
enum Upstream {
    Tcp(TcpStream),
    Neighbour(Neighbour),
    Stream(TunnelStream),
}

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
    if is_direct(&pod, destination) {
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
    // Boxed, so that an open flow does not go on holding what only finding its way took.
    let finding = find(&context, &pod, &mut description);
    let finding = while_wanted(reset_by_client(&socket), finding);
    match Box::pin(pod.while_here(finding)).await {
        Err(refused) => {
            reset(&socket);
            context.shared.refuse(&description, &refused);
        }
        Ok(Upstream::Tcp(_)) if !place.widen() => {
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

/// A captured connection is always for somebody else's address; one to the pod's own came to our port by itself.
fn is_direct(pod: &Pod, destination: SocketAddr) -> bool {
    destination.ip().is_loopback() || pod.has_address(destination.ip())
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

async fn find(
    context: &Rc<ThreadContext>,
    pod: &Arc<Pod>,
    description: &mut FlowDescription,
) -> Result<Upstream, Refused> {
    let _pass = pod.begin_flow()?;
    let asked = description.original_destination;
    let question = OutboundQuestion {
        pod: pod.spec().uid.clone(),
        destination: asked.ip(),
        port: asked.port(),
    };
    let verdict = decide(context, question).await?;
    description.service = verdict
        .service
        .as_ref()
        .and_then(|key| context.shared.directory.service(key));
    match &verdict.action {
        OutboundAction::Deny { reason } => Err(Refused::new(Reason::Denied, &**reason)),
        OutboundAction::Passthrough { workload } => {
            description.destination_workload = context.shared.workload(workload.as_ref());
            let stream = dial(pod, asked, context.shared.connect_timeout).await?;
            Ok(Upstream::Tcp(stream))
        }
        OutboundAction::Connect { .. } => {
            let (endpoint, allow_local) = choose(context, &verdict)?;
            to_endpoint(context, pod, &endpoint, allow_local, description).await
        }
    }
}

/// A verdict may name endpoints that have been replaced since it was given; then it is out of date, and asked for anew.
async fn decide(
    context: &ThreadContext,
    question: OutboundQuestion,
) -> Result<Arc<OutboundVerdict>, Refused> {
    let decisions = &context.shared.decisions;
    let verdict = decisions.outbound(question.clone()).await?;
    match &verdict.action {
        OutboundAction::Connect {
            endpoint_set: (id, version),
            ..
        } if context
            .shared
            .directory
            .endpoint_set(id, *version)
            .is_none() =>
        {
            decisions.retract(&question, &verdict);
            Ok(decisions.outbound(question).await?)
        }
        _ => Ok(verdict),
    }
}

fn choose(context: &ThreadContext, verdict: &OutboundVerdict) -> Result<(Endpoint, bool), Refused> {
    let OutboundAction::Connect {
        endpoint_set: (id, version),
        allow_local,
    } = &verdict.action
    else {
        return Err(Refused::new(
            Reason::NoEndpoint,
            "the verdict names no endpoints",
        ));
    };
    let set = context
        .shared
        .directory
        .endpoint_set(id, *version)
        .ok_or_else(|| {
            Refused::new(
                Reason::EndpointSetUnknown,
                format!("version {version} of the endpoint set {id} is not here"),
            )
        })?;
    let endpoint = pick(&set).ok_or_else(|| {
        Refused::new(
            Reason::NoEndpoint,
            format!("the endpoint set {id} is empty"),
        )
    })?;
    Ok((endpoint.clone(), *allow_local))
}

async fn to_endpoint(
    context: &Rc<ThreadContext>,
    pod: &Arc<Pod>,
    endpoint: &Endpoint,
    allow_local: bool,
    description: &mut FlowDescription,
) -> Result<Upstream, Refused> {
    let port = if endpoint.port == 0 {
        description.original_destination.port()
    } else {
        endpoint.port
    };
    let target = SocketAddr::new(endpoint.address, port);
    description.destination = target;
    description.destination_workload = context.shared.workload(Some(&endpoint.workload));
    if let Some(neighbour) = node_local::neighbour(context, pod, endpoint, allow_local) {
        let joined = node_local::dial(context, pod, &neighbour, target, description).await?;
        return Ok(Upstream::Neighbour(joined));
    }
    match endpoint.protocol {
        Protocol::Tcp => dial(pod, target, context.shared.connect_timeout)
            .await
            .map(Upstream::Tcp),
        Protocol::Hbone => tunnel(context, pod, endpoint, target, description)
            .await
            .map(Upstream::Stream),
    }
}

async fn tunnel(
    context: &Rc<ThreadContext>,
    pod: &Arc<Pod>,
    endpoint: &Endpoint,
    target: SocketAddr,
    description: &mut FlowDescription,
) -> Result<TunnelStream, Refused> {
    description.transport = Transport::MutualTls;
    description.destination = tunnel_address(endpoint.address);
    description.hbone_address = Some(target);
    description.source_identity = Some(pod.spec().identity.clone());
    // Which of several it showed is not told apart: the certificate was one of them.
    description.destination_identity = endpoint.identities.first().cloned();
    let request = ConnectRequest {
        destination: target,
        client: description.source,
        service_hostname: description
            .service
            .as_ref()
            .map(|service| &*service.hostname),
        source: description.source_workload.as_deref(),
    };
    Ok(open_stream(context, pod, endpoint, &request).await?)
}
