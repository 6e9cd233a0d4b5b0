//! What the engine gives, as JavaScript sees it. `None` becomes `null`.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{IntoRawFd, OwnedFd};

use ambit_engine::api::{
    AdoptedPod, Direction, DrainReport, EngineEvent, FlowInfo, HealthReport, InboundFlowPage,
    InboundFlows, InboundQuestion, LogLevel, OutboundQuestion, Question, QuestionId, Transport,
};
use napi::bindgen_prelude::{Object, ToNapiValue};
use napi::{Env, Result};

/// A number that JavaScript holds exactly: ids and counts stay far below 2^53.
#[expect(clippy::cast_precision_loss)]
fn number(value: u64) -> f64 {
    value as f64
}

pub fn count(value: usize) -> f64 {
    number(value as u64)
}

fn address(address: IpAddr) -> String {
    address.to_canonical().to_string()
}

fn socket_address(address: SocketAddr) -> String {
    SocketAddr::new(address.ip().to_canonical(), address.port()).to_string()
}

fn transport(transport: Transport) -> &'static str {
    match transport {
        Transport::MutualTls => "mutual_tls",
        Transport::NodeLocal => "node_local",
        Transport::Plaintext => "plaintext",
    }
}

fn level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
    }
}

/// A value that is made of plain data when it reaches JavaScript's thread.
pub(crate) trait Encode {
    type Value<'env>: ToNapiValue;

    fn encode(self, env: &Env) -> Result<Self::Value<'_>>;
}

impl Encode for () {
    type Value<'env> = ();

    fn encode(self, _env: &Env) -> Result<()> {
        Ok(())
    }
}

impl Encode for Vec<AdoptedPod> {
    type Value<'env> = Vec<Object<'env>>;

    fn encode(self, env: &Env) -> Result<Vec<Object<'_>>> {
        let pod = |pod: AdoptedPod| {
            let mut object = Object::new(env)?;
            object.set("uid", &*pod.uid)?;
            Ok(object)
        };
        self.into_iter().map(pod).collect()
    }
}

/// JavaScript owns it from here on.
impl Encode for OwnedFd {
    type Value<'env> = i32;

    fn encode(self, _env: &Env) -> Result<i32> {
        Ok(self.into_raw_fd())
    }
}

impl Encode for HealthReport {
    type Value<'env> = Object<'env>;

    fn encode(self, env: &Env) -> Result<Object<'_>> {
        let mut object = Object::new(env)?;
        object.set("effective", self.effective)?;
        object.set("missing", self.missing)?;
        object.set("pods", count(self.pods))?;
        Ok(object)
    }
}

impl Encode for DrainReport {
    type Value<'env> = Object<'env>;

    fn encode(self, env: &Env) -> Result<Object<'_>> {
        let mut object = Object::new(env)?;
        object.set("closed", count(self.closed))?;
        object.set("forced", count(self.forced))?;
        Ok(object)
    }
}

impl Encode for FlowInfo {
    type Value<'env> = Object<'env>;

    fn encode(self, env: &Env) -> Result<Object<'_>> {
        let direction = match self.direction {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        };
        let mut object = Object::new(env)?;
        object.set("id", number(self.id))?;
        object.set("pod", &*self.pod)?;
        object.set("direction", direction)?;
        object.set("source", socket_address(self.source))?;
        object.set(
            "originalDestination",
            socket_address(self.original_destination),
        )?;
        object.set("actualDestination", socket_address(self.actual_destination))?;
        object.set("transport", transport(self.transport))?;
        object.set("bytesSent", number(self.bytes_sent))?;
        object.set("bytesReceived", number(self.bytes_received))?;
        object.set("openedAt", number(self.opened_at))?;
        Ok(object)
    }
}

impl Encode for InboundFlowPage {
    type Value<'env> = Object<'env>;

    fn encode(self, env: &Env) -> Result<Object<'_>> {
        let flows = self.flows.into_iter().map(|flows| flows.encode(env));
        let mut object = Object::new(env)?;
        object.set("flows", flows.collect::<Result<Vec<_>>>()?)?;
        object.set("next", self.next.map(number))?;
        Ok(object)
    }
}

impl Encode for InboundFlows {
    type Value<'env> = Object<'env>;

    fn encode(self, env: &Env) -> Result<Object<'_>> {
        let mut object = Object::new(env)?;
        object.set("id", number(self.id))?;
        // Nobody answers by this id: the question was asked long ago.
        object.set("question", inbound(env, 0, &self.question)?)?;
        object.set("count", count(self.count))?;
        Ok(object)
    }
}

impl Encode for EngineEvent {
    type Value<'env> = Object<'env>;

    fn encode(self, env: &Env) -> Result<Object<'_>> {
        let mut object = Object::new(env)?;
        match self {
            Self::Questions(questions) => {
                let questions = questions.iter().map(|asked| question(env, asked));
                object.set("kind", "questions")?;
                object.set("questions", questions.collect::<Result<Vec<_>>>()?)?;
            }
            Self::Tampering {
                pod,
                what,
                restored,
            } => {
                object.set("kind", "tampering")?;
                object.set("pod", pod.as_deref())?;
                object.set("what", what)?;
                object.set("restored", restored)?;
            }
            Self::Released { pod } => {
                object.set("kind", "released")?;
                object.set("pod", &*pod)?;
            }
            Self::Log {
                level: severity,
                message,
                fields,
            } => {
                object.set("kind", "log")?;
                object.set("level", level(severity))?;
                object.set("message", message)?;
                object.set("fields", fields)?;
            }
        }
        Ok(object)
    }
}

fn question<'env>(env: &'env Env, asked: &(QuestionId, Question)) -> Result<Object<'env>> {
    match asked {
        (id, Question::Outbound(question)) => outbound(env, *id, question),
        (id, Question::Inbound(question)) => inbound(env, *id, question),
    }
}

fn outbound<'env>(
    env: &'env Env,
    id: QuestionId,
    question: &OutboundQuestion,
) -> Result<Object<'env>> {
    let mut object = Object::new(env)?;
    object.set("kind", "outbound")?;
    object.set("id", number(id))?;
    object.set("pod", &*question.pod)?;
    object.set("destination", address(question.destination))?;
    object.set("port", u32::from(question.port))?;
    Ok(object)
}

fn inbound<'env>(
    env: &'env Env,
    id: QuestionId,
    question: &InboundQuestion,
) -> Result<Object<'env>> {
    let mut object = Object::new(env)?;
    object.set("kind", "inbound")?;
    object.set("id", number(id))?;
    object.set("pod", &*question.pod)?;
    object.set("peer", question.peer.as_deref())?;
    object.set("source", address(question.source))?;
    object.set("destination", address(question.destination))?;
    object.set("port", u32::from(question.port))?;
    object.set("transport", transport(question.transport))?;
    Ok(object)
}
