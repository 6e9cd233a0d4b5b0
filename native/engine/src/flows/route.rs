//! Where a captured connection goes: asks, chooses an endpoint, and connects.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::context::{Pod, ThreadContext};
use super::dial::dial;
use super::dial_tls::dial_tls;
use super::node_local::{self, Neighbour};
use super::refusal::{Reason, Refused};
use super::tunnel::{TunnelStream, open_stream, tunnel_address};
use crate::api::{
    Endpoint, EndpointSetReference, OutboundAction, OutboundQuestion, Protocol, Transport,
};
use crate::directory::pick;
use crate::hbone::headers::ConnectRequest;
use crate::telemetry::FlowDescription;

/// What the application's connection is joined to.
pub enum Upstream {
    Tcp(TcpStream),
    /// Boxed: it is large, and rare.
    Tls(Box<TlsStream<TcpStream>>),
    Neighbour(Neighbour),
    Stream(TunnelStream),
}

/// Who made a captured connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialler {
    Anybody,
    /// The pod's proxy, for itself and not for one of its clients.
    Proxy,
}

pub async fn find(
    context: &Rc<ThreadContext>,
    pod: &Arc<Pod>,
    dialler: Dialler,
    description: &mut FlowDescription,
) -> Result<Upstream, Refused> {
    let _pass = pod.begin_flow()?;
    let asked = description.original_destination;
    let question = OutboundQuestion {
        pod: pod.spec().uid.clone(),
        destination: asked.ip(),
        port: asked.port(),
    };
    let verdict = context.shared.decisions.outbound(question).await?;
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
        OutboundAction::Connect {
            endpoint_set,
            allow_local,
            authority,
        } => {
            let endpoint = choose(endpoint_set)?;
            let route = Route {
                authority: endpoint.authority.or(*authority),
                allow_local: *allow_local,
                endpoint,
            };
            to_endpoint(context, pod, &route, description).await
        }
        // What is sent there is believed to be the proxy's, and answered with all that the proxy knows of its tenants.
        OutboundAction::Relay(_) if dialler != Dialler::Proxy => {
            let message = "only the proxy's own stream goes to the control plane: start it with this version's bootstrap";
            Err(Refused::new(Reason::NotTheProxysOwn, message))
        }
        OutboundAction::Relay(relay) => {
            let stream = dial_tls(&context.shared, pod, relay, description).await?;
            Ok(Upstream::Tls(Box::new(stream)))
        }
    }
}

fn choose(reference: &EndpointSetReference) -> Result<Endpoint, Refused> {
    let EndpointSetReference { id, version, held } = reference;
    let set = held.as_ref().ok_or_else(|| {
        let message =
            format!("version {version} of the endpoint set {id} was not here when it was named");
        Refused::new(Reason::EndpointSetUnknown, message)
    })?;
    let endpoint = pick(set).ok_or_else(|| {
        let message = format!("the endpoint set {id} is empty");
        Refused::new(Reason::NoEndpoint, message)
    })?;
    Ok(endpoint.clone())
}

/// The endpoint that a flow goes to.
struct Route {
    endpoint: Endpoint,
    allow_local: bool,
    /// The endpoint is a waypoint's pod, asked for this instead of itself.
    authority: Option<SocketAddr>,
}

impl Route {
    /// What the far side is asked for.
    fn target(&self, asked: SocketAddr) -> SocketAddr {
        let Endpoint { address, port, .. } = self.endpoint;
        let port = if port == 0 { asked.port() } else { port };
        self.authority.unwrap_or(SocketAddr::new(address, port))
    }

    /// The engine's own connections are exempt from the guard of a pod's loopback, so nothing may send it there.
    fn check(&self, pod: &Pod, target: SocketAddr) -> Result<(), Refused> {
        let address = self.endpoint.address.to_canonical();
        if address.is_loopback() || address.is_unspecified() || address.is_multicast() {
            let message = format!("{address} cannot be an endpoint: it is none of a pod or host");
            return Err(Refused::new(Reason::UnsafeEndpoint, message));
        }
        if self.authority.is_none() {
            return match pod.has_address(address) {
                true => pod.refuse_own_port(target),
                false => Ok(()),
            };
        }
        if pod.has_address(address) {
            let message = format!("this pod is itself the way to {target}");
            return Err(Refused::new(Reason::SelfCall, message));
        }
        if self.endpoint.protocol == Protocol::Tcp {
            let message = format!("the waypoint at {address} speaks no HBONE");
            return Err(Refused::new(Reason::NoEndpoint, message));
        }
        Ok(())
    }
}

async fn to_endpoint(
    context: &Rc<ThreadContext>,
    pod: &Arc<Pod>,
    route: &Route,
    description: &mut FlowDescription,
) -> Result<Upstream, Refused> {
    let Route {
        endpoint,
        allow_local,
        authority,
    } = route;
    let target = route.target(description.original_destination);
    description.destination = target;
    if authority.is_some() {
        description.destination = tunnel_address(endpoint.address);
        description.hbone_address = Some(target);
    }
    description.destination_workload = context.shared.workload(Some(&endpoint.workload));
    route.check(pod, target)?;
    if let Some(neighbour) = node_local::neighbour(context, pod, endpoint, *allow_local) {
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
