use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll, Waker};

use crate::api::{
    Answer, AnswerMask, EngineEvent, EventSink, InboundQuestion, InboundVerdict, OutboundAction,
    OutboundQuestion, OutboundVerdict, Question, QuestionId, Transport, Verdict,
};
use crate::decisions::{DecisionLimits, Decisions};
use crate::telemetry::Registry;

pub(super) const EXACT: AnswerMask = mask(128, false);
pub(super) const ANY: AnswerMask = mask(0, true);

type Asked = (QuestionId, Question);

struct Sink(Mutex<Sender<Asked>>);

impl EventSink for Sink {
    fn emit(&self, event: EngineEvent) {
        let EngineEvent::Questions(questions) = event else {
            panic!("not questions");
        };
        let sender = self.0.lock().expect("no panic before");
        for question in questions {
            sender.send(question).expect("the rig lives");
        }
    }
}

/// Decisions whose questions are answered by hand.
pub(super) struct Rig {
    pub(super) decisions: Arc<Decisions>,
    questions: Receiver<Asked>,
    runtime: tokio::runtime::Runtime,
}

impl Rig {
    pub(super) fn new(limits: DecisionLimits) -> Self {
        let (sender, questions) = channel();
        let sink = Arc::new(Sink(Mutex::new(sender)));
        let runtime = runtime();
        Self {
            decisions: Decisions::new(sink, limits, &Registry::default()),
            questions,
            runtime,
        }
    }

    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    pub(super) fn take_questions(&self) -> Vec<Asked> {
        self.questions.try_iter().collect()
    }

    /// What was asked since, with the last part of each IPv4 destination.
    pub(super) fn asked_hosts(&self) -> Vec<(QuestionId, String)> {
        let host = |(id, question): Asked| match question {
            Question::Outbound(question) => {
                let address = question.destination.to_string();
                let host = address.rsplit('.').next().unwrap_or_default();
                (id, host.to_owned())
            }
            Question::Inbound(_) => panic!("not outbound"),
        };
        self.take_questions().into_iter().map(host).collect()
    }

    pub(super) fn next_question(&self) -> QuestionId {
        self.questions.recv().expect("a question").0
    }

    pub(super) fn asked_in_all(&self) -> usize {
        let state = self.decisions.lock();
        usize::try_from(state.shared.counters.questions.get()).expect("few")
    }

    pub(super) fn entries(&self, pod: &str) -> usize {
        let state = self.decisions.lock();
        state
            .pods
            .get(pod)
            .map_or(0, |pod| pod.outbound.entries() + pod.inbound.entries())
    }

    pub(super) fn is_empty(&self) -> bool {
        let state = self.decisions.lock();
        state.pods.is_empty() && state.shared.index.is_empty() && state.shared.asked.is_empty()
    }

    pub(super) fn answer(
        &self,
        id: QuestionId,
        generation: u64,
        keys: &[&str],
        mask: AnswerMask,
        verdict: &OutboundVerdict,
    ) {
        let verdict = Verdict::Outbound(verdict.clone());
        self.decisions
            .answer(vec![answer(id, generation, keys, mask, verdict)]);
    }

    pub(super) fn answer_all(
        &self,
        generation: u64,
        keys: &[&str],
        mask: AnswerMask,
        verdict: &OutboundVerdict,
    ) {
        for (id, _) in self.take_questions() {
            self.answer(id, generation, keys, mask, verdict);
        }
    }

    pub(super) fn answer_pod(
        &self,
        pod: &str,
        generation: u64,
        keys: &[&str],
        mask: AnswerMask,
        verdict: &OutboundVerdict,
    ) {
        let of_pod = |(_, question): &Asked| match question {
            Question::Outbound(question) => *question.pod == *pod,
            Question::Inbound(question) => *question.pod == *pod,
        };
        for (id, _) in self.take_questions().into_iter().filter(of_pod) {
            self.answer(id, generation, keys, mask, verdict);
        }
    }

    pub(super) fn answer_all_inbound(
        &self,
        generation: u64,
        keys: &[&str],
        mask: AnswerMask,
        verdict: &InboundVerdict,
    ) {
        for (id, _) in self.take_questions() {
            let verdict = Verdict::Inbound(verdict.clone());
            self.decisions
                .answer(vec![answer(id, generation, keys, mask, verdict)]);
        }
    }

    /// Asks and has it answered.
    pub(super) fn settle(
        &self,
        question: OutboundQuestion,
        keys: &[&str],
        mask: AnswerMask,
        verdict: &OutboundVerdict,
    ) {
        let mut flow = Box::pin(self.decisions.outbound(question));
        if poll(&mut flow).is_pending() {
            self.answer_all(1, keys, mask, verdict);
            assert!(poll(&mut flow).is_ready());
        }
    }
}

fn answer(
    id: QuestionId,
    generation: u64,
    keys: &[&str],
    mask: AnswerMask,
    verdict: Verdict,
) -> Answer {
    let keys = keys.iter().map(|key| Arc::from(*key)).collect();
    Answer {
        id,
        generation,
        keys,
        mask,
        verdict,
    }
}

pub(super) fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().build().expect("a runtime")
}

/// Polls once. The timers of a future polled by hand need a runtime around it; that one is never driven.
pub(super) fn poll<F: Future>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    static AROUND: LazyLock<tokio::runtime::Runtime> = LazyLock::new(runtime);
    let _entered = AROUND.enter();
    future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
}

pub(super) const fn mask(prefix_length: u8, any_port: bool) -> AnswerMask {
    AnswerMask {
        prefix_length,
        any_port,
        any_destination: true,
    }
}

pub(super) fn outbound(pod: &str, destination: &str, port: u16) -> OutboundQuestion {
    let destination = destination.parse().expect("an address");
    OutboundQuestion {
        pod: pod.into(),
        destination,
        port,
    }
}

pub(super) fn inbound(pod: &str, peer: Option<&str>, source: &str, port: u16) -> InboundQuestion {
    InboundQuestion {
        pod: pod.into(),
        peer: peer.map(Arc::from),
        source: source.parse().expect("an address"),
        destination: "10.0.0.1".parse().expect("an address"),
        port,
        transport: Transport::MutualTls,
    }
}

pub(super) fn pass(workload: &str) -> OutboundVerdict {
    let workload = Some(Arc::from(workload));
    OutboundVerdict {
        action: OutboundAction::Passthrough { workload },
        service: None,
    }
}

pub(super) fn allow() -> InboundVerdict {
    InboundVerdict {
        allow: true,
        policy: None,
        reason: None,
        source_workload: None,
        service: None,
        handover: None,
    }
}

pub(super) fn deny(policy: &str) -> InboundVerdict {
    InboundVerdict {
        allow: false,
        policy: Some(policy.into()),
        ..allow()
    }
}
