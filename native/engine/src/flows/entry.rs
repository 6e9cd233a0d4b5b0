//! The last step into a pod: leave to enter, and then a connection to its application or to its proxy.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;

use super::admissions::Admission;
use super::context::{Pod, ThreadContext};
use super::dial::dial_application;
use super::handover::{Client, hand_over};
use super::refusal::{Reason, Refused};
use crate::api::{Handover, InboundQuestion, Transport};
use crate::telemetry::FlowDescription;

/// A flow at the door of a pod.
pub struct Entrant {
    /// As the server shall see it.
    pub client: SocketAddr,
    /// The client's own port, where it is free to be dialled from; see [`dial_application`].
    pub own_port: Option<u16>,
    /// Verified.
    pub identity: Option<Arc<str>>,
    pub target: SocketAddr,
    pub transport: Transport,
}

impl Entrant {
    fn question(&self, pod: &Pod) -> InboundQuestion {
        InboundQuestion {
            pod: pod.spec().uid.clone(),
            peer: self.identity.clone(),
            source: self.client.ip(),
            destination: self.target.ip(),
            port: self.target.port(),
            transport: self.transport,
        }
    }
}

/// Asks and connects. The admission ends the flow when leave to enter is taken back.
pub async fn enter(
    context: &ThreadContext,
    pod: &Pod,
    entrant: &Entrant,
    description: &mut FlowDescription,
) -> Result<(TcpStream, Admission), Refused> {
    let question = entrant.question(pod);
    let (admission, handover) = admit(context, question, description).await?;
    let connecting = connect(context, pod, entrant, handover, description);
    let stream = admission.while_allowed(connecting).await?;
    Ok((stream, admission))
}

async fn connect(
    context: &ThreadContext,
    pod: &Pod,
    entrant: &Entrant,
    handover: Option<Handover>,
    description: &FlowDescription,
) -> Result<TcpStream, Refused> {
    let limit = context.shared.connect_timeout;
    let (client, own_port, target) = (entrant.client, entrant.own_port, entrant.target);
    let Some(handover) = handover else {
        // Dialled from the pod, another address would be one of the pod's own connections to the world.
        if !pod.has_address(target.ip()) {
            return Err(Refused::foreign_address(target));
        }
        return dial_application(pod, client, own_port, target, limit).await;
    };
    let identity = entrant.identity.as_deref().ok_or_else(|| {
        let message = "a client without an identity is not handed over to the pod's proxy";
        Refused::new(Reason::NoIdentity, message)
    })?;
    let client = Client {
        address: SocketAddr::new(client.ip(), own_port.unwrap_or(client.port())),
        identity,
        transport: entrant.transport,
        workload: description.source_workload.as_deref(),
    };
    hand_over(pod, handover, &client, target, limit).await
}

/// Asks whether a flow may enter, and fills in what the answer tells of it.
async fn admit(
    context: &ThreadContext,
    question: InboundQuestion,
    description: &mut FlowDescription,
) -> Result<(Admission, Option<Handover>), Refused> {
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
        return Ok((admission, verdict.handover));
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
