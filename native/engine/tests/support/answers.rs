//! What the tests' agent decides.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use ambit_engine::api::{
    Answer, AnswerMask, EndpointSetReference, Handover, InboundVerdict, OutboundAction,
    OutboundVerdict, Question, Verdict,
};

#[derive(Default)]
pub struct Policy {
    /// Identities that no pod lets in; the empty text stands for plaintext.
    pub denied: Vec<String>,
    pub same_node_over_tls: bool,
    /// What is answered about a destination instead of its own endpoints.
    pub outbound: HashMap<SocketAddr, OutboundVerdict>,
    /// Ports to hand over to, by the address that a peer asks for.
    pub handover: HashMap<IpAddr, u16>,
}

/// To the endpoints of a set.
pub fn connect(endpoint_set: &str, allow_local: bool) -> OutboundVerdict {
    OutboundVerdict {
        action: OutboundAction::Connect {
            endpoint_set: EndpointSetReference {
                id: endpoint_set.into(),
                version: 1,
                held: None,
            },
            allow_local,
            authority: None,
        },
        service: None,
    }
}

pub fn answer(id: u64, question: &Question, policy: &Policy) -> Answer {
    let verdict = match question {
        Question::Outbound(asked) => {
            let destination = SocketAddr::new(asked.destination, asked.port);
            let told = policy.outbound.get(&destination).cloned();
            let usual = || connect(&asked.destination.to_string(), !policy.same_node_over_tls);
            Verdict::Outbound(told.unwrap_or_else(usual))
        }
        Question::Inbound(asked) => {
            let denied = policy
                .denied
                .iter()
                .any(|denied| **denied == *asked.peer.as_deref().unwrap_or_default());
            Verdict::Inbound(InboundVerdict {
                allow: !denied,
                policy: denied.then(|| "default/deny".into()),
                reason: denied.then(|| "policy_denied".into()),
                source_workload: None,
                service: None,
                handover: policy
                    .handover
                    .get(&asked.destination)
                    .map(|port| Handover { port: *port }),
            })
        }
    };
    let mask = AnswerMask {
        prefix_length: 128,
        any_port: false,
        any_destination: false,
    };
    let mask = match question {
        Question::Outbound(_) => AnswerMask {
            any_destination: true,
            ..mask
        },
        Question::Inbound(_) => mask,
    };
    Answer {
        id,
        generation: 1,
        keys: vec![],
        mask,
        verdict,
    }
}
