//! Connections from outside that speak no HBONE: no identity, and policy decides what that is worth.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use ambit_intercept::sockets::prepare_accepted;
use tokio::net::TcpStream;

use super::admissions::Admission;
use super::capacity::Place;
use super::client::{reset_by_client, while_wanted};
use super::context::{Pod, ThreadContext, canonical};
use super::dial::dial_application;
use super::join::join;
use super::refusal::{Reason, Refused};
use crate::api::{InboundQuestion, Transport};
use crate::relay::{reset, tcp_leg};
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
    let client = canonical(peer);
    let mut description = describe(&context, &pod, client, destination);
    let question = question(&pod, client, destination);
    let connecting = connect(&context, &pod, &socket, question, &mut description);
    let connecting = while_wanted(reset_by_client(&socket), connecting);
    match Box::pin(pod.while_here(connecting)).await {
        Err(refused) => {
            reset(&socket);
            context.shared.refuse(&description, &refused);
        }
        Ok(_) if !place.widen() => {
            reset(&socket);
            context
                .shared
                .refuse(&description, &Refused::over_capacity());
        }
        Ok((stream, admission)) => {
            let (client, server) = (tcp_leg(socket), tcp_leg(stream));
            join(
                context,
                description,
                Some(admission),
                client,
                server,
                place.into(),
            )
            .await;
        }
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
        reporters: Reporters::Destination,
        source_pod: None,
        destination_pod: Some(spec.uid.clone()),
        source: client,
        original_destination: destination,
        destination,
        hbone_address: None,
        source_workload: None,
        destination_workload: context.shared.workload(Some(&spec.workload)),
        service: None,
        transport: Transport::Plaintext,
        source_identity: None,
        destination_identity: None,
    }
}

fn question(pod: &Pod, client: SocketAddr, destination: SocketAddr) -> InboundQuestion {
    InboundQuestion {
        pod: pod.spec().uid.clone(),
        peer: None,
        source: client.ip(),
        destination: destination.ip(),
        port: destination.port(),
        transport: Transport::Plaintext,
    }
}

async fn connect(
    context: &ThreadContext,
    pod: &Pod,
    socket: &TcpStream,
    question: InboundQuestion,
    description: &mut FlowDescription,
) -> Result<(TcpStream, Admission), Refused> {
    let _pass = pod.begin_flow()?;
    let destination = description.original_destination;
    if pod.is_own_port(destination.port()) {
        return Err(Refused::new(
            Reason::SelfCall,
            format!("{destination} is a port of the mesh itself"),
        ));
    }
    // Another address of the namespace: dialled, it would come round to our own listeners again and again.
    if !pod.has_address(destination.ip()) {
        return Err(Refused::new(
            Reason::ForeignAddress,
            format!("{} is not an address of this pod", destination.ip()),
        ));
    }
    prepare_accepted(socket).map_err(|error| Refused::new(Reason::Socket, error.to_string()))?;
    let admission = admit(context, question, description).await?;
    let limit = context.shared.connect_timeout;
    let dialling = dial_application(pod, description.source, None, destination, limit);
    let stream = admission.while_allowed(dialling).await?;
    Ok((stream, admission))
}

/// Asks whether a flow may enter, and fills in what the answer tells of it.
pub async fn admit(
    context: &ThreadContext,
    question: InboundQuestion,
    description: &mut FlowDescription,
) -> Result<Admission, Refused> {
    let admission = context.admissions.list(question.clone());
    let verdict = context.shared.decisions.inbound(question).await?;
    if description.source_workload.is_none() {
        description.source_workload = context.shared.workload(verdict.source_workload.as_ref());
    }
    if description.service.is_none() {
        description.service = verdict
            .service
            .as_ref()
            .and_then(|key| context.shared.directory.service(key));
    }
    if verdict.allow {
        return Ok(admission);
    }
    let message = match (&verdict.policy, &verdict.reason) {
        (Some(policy), _) => format!("denied by the policy {policy}"),
        (None, Some(reason)) => format!("denied: {reason}"),
        (None, None) => "denied".to_owned(),
    };
    Err(Refused {
        policy: verdict.policy.clone(),
        ..Refused::new(Reason::PolicyDenied, message)
    })
}
