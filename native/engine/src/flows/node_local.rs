//! Joins between two pods of this node: no wire, hence no TLS. Who the source is follows from the namespace that we accepted
//! from; policy is asked as for every other way in.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpStream;

use super::admissions::Admission;
use super::capacity::Place;
use super::context::{Pod, ThreadContext};
use super::entry::{Entrant, enter};
use super::refusal::{Reason, Refused};
use crate::api::{Endpoint, Transport};
use crate::drain::Phase;
use crate::telemetry::{FlowDescription, Reporters};

/// The enrolled pod behind an endpoint, where both sides allow a join. A pod that reaches itself through a service is
/// always joined: a SYN for its own address never leaves `lo` and would find no HBONE listener there.
pub fn neighbour(
    context: &ThreadContext,
    pod: &Pod,
    endpoint: &Endpoint,
    allow_local: bool,
) -> Option<Arc<Pod>> {
    let uid = endpoint.pod_uid.as_ref()?;
    let itself = **uid == *pod.spec().uid;
    let neighbour = context
        .pod(uid)
        .filter(|_| itself || (allow_local && endpoint.local))?;
    let serving = neighbour.drain.phase() == Phase::Serving;
    (serving && neighbour.has_address(endpoint.address)).then_some(neighbour)
}

/// A connection to a neighbour's application; the place keeps what answers in its namespace need.
pub struct Neighbour {
    pub stream: TcpStream,
    pub admission: Admission,
    pub place: Place,
}

pub async fn dial(
    context: &ThreadContext,
    pod: &Pod,
    neighbour: &Pod,
    target: SocketAddr,
    description: &mut FlowDescription,
) -> Result<Neighbour, Refused> {
    let (here, there) = (pod.spec(), neighbour.spec());
    description.reporters = Reporters::Both;
    description.transport = Transport::NodeLocal;
    description.destination_pod = Some(there.uid.clone());
    description.source_identity = Some(here.identity.clone());
    description.destination_identity = Some(there.identity.clone());
    neighbour.may_be_asked_for(target)?;
    let client = client_address(pod, description.source, target.ip())?;
    let entrant = Entrant {
        client,
        own_port: Some(client.port()),
        identity: Some(here.identity.clone()),
        target,
        transport: Transport::NodeLocal,
    };
    let place = neighbour.admit().ok_or_else(|| {
        let message = "the destination has as many open connections as it may";
        Refused::new(Reason::TooManyFlows, message)
    })?;
    let entering = enter(context, neighbour, &entrant, description);
    let (stream, admission) = neighbour.while_here(entering).await?;
    Ok(Neighbour {
        stream,
        admission,
        place,
    })
}

/// The client as the server shall see it: itself, or its address of the server's family where it asked for a virtual
/// address of the other one.
fn client_address(pod: &Pod, client: SocketAddr, like: IpAddr) -> Result<SocketAddr, Refused> {
    if client.is_ipv4() == like.is_ipv4() {
        return Ok(client);
    }
    let address = pod.address_like(like).ok_or_else(|| {
        Refused::new(
            Reason::FamilyMismatch,
            format!("the pod has no address of the family of {like}"),
        )
    })?;
    Ok(SocketAddr::new(address, client.port()))
}
