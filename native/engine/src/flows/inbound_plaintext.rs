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
use super::entry::{Entrant, enter};
use super::join::join;
use super::refusal::{Reason, Refused};
use crate::api::Transport;
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
    let connecting = connect(&context, &pod, &socket, &mut description);
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

async fn connect(
    context: &ThreadContext,
    pod: &Pod,
    socket: &TcpStream,
    description: &mut FlowDescription,
) -> Result<(TcpStream, Admission), Refused> {
    let _pass = pod.begin_flow()?;
    let destination = description.original_destination;
    pod.refuse_own_port(destination)?;
    // Another address of the namespace: dialled, it would come round to our own listeners again and again.
    if !pod.has_address(destination.ip()) {
        return Err(Refused::foreign_address(destination));
    }
    prepare_accepted(socket).map_err(|error| Refused::new(Reason::Socket, error.to_string()))?;
    let entrant = Entrant {
        client: description.source,
        own_port: None,
        identity: None,
        target: destination,
        transport: Transport::Plaintext,
    };
    enter(context, pod, &entrant, description).await
}
