//! After any interleaving of asks, answers, invalidations and changes, the engine answers as a fresh decision would.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::Poll;

use proptest::prelude::*;

use super::support::{Rig, mask, outbound, pass, poll};
use crate::api::{
    Answer, AnswerMask, OutboundQuestion, OutboundVerdict, Question, QuestionId, Verdict,
};
use crate::decisions::DecisionLimits;

const HOSTS: u8 = 16;
const PORTS: [u16; 2] = [80, 81];
/// Hosts that share a prefix in which nothing is known are one kind of flow.
const GROUP: u8 = 4;

#[derive(Clone, Debug)]
enum Step {
    Ask {
        pod: bool,
        host: u8,
        port: usize,
    },
    /// Turns a host known or unknown; its invalidation is under way from then on.
    Change {
        host: u8,
    },
    /// The decision tier computes what was asked first.
    Compute,
    /// An answer arrives, not always the oldest.
    Answer {
        which: usize,
    },
    /// An invalidation arrives, not always the oldest.
    Invalidate {
        which: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<bool>(), 0..HOSTS, 0..PORTS.len()).prop_map(|(pod, host, port)| Step::Ask { pod, host, port }),
        2 => (0..HOSTS).prop_map(|host| Step::Change { host }),
        4 => Just(Step::Compute),
        3 => (0..8_usize).prop_map(|which| Step::Answer { which }),
        2 => (0..4_usize).prop_map(|which| Step::Invalidate { which }),
    ]
}

/// The store and the decision tier, with everything that is on its way to the engine.
#[derive(Default)]
struct Tier {
    known: BTreeSet<u8>,
    /// The generation at which each known host became so shows in the verdict: an old one is seen to be old.
    generation: u64,
    since: [u64; HOSTS as usize],
    asked: VecDeque<(QuestionId, Question)>,
    answers: Vec<Answer>,
    invalidations: Vec<(u64, Vec<Arc<str>>)>,
}

impl Tier {
    fn change(&mut self, host: u8) {
        self.generation += 1;
        self.since[usize::from(host)] = self.generation;
        if !self.known.remove(&host) {
            self.known.insert(host);
        }
        let keys = vec![host_key(host), group_key(host)];
        self.invalidations.push((self.generation, keys));
    }

    /// A fresh decision: what, how widely it holds, and what was read to find it.
    fn decide(&self, question: &OutboundQuestion) -> (OutboundVerdict, AnswerMask, Vec<Arc<str>>) {
        let host = host_of(question);
        let group = host / GROUP * GROUP;
        if (group..group + GROUP).any(|other| self.known.contains(&other)) {
            let since = self.since[usize::from(host)];
            let verdict = pass(&format!("{host} {} {since}", self.known.contains(&host)));
            let any_port = host.is_multiple_of(2);
            let keys = vec![host_key(host), group_key(host)];
            return (verdict, mask(32, any_port), keys);
        }
        (pass("unknown"), mask(30, true), vec![group_key(host)])
    }

    fn compute(&mut self) {
        let Some((id, Question::Outbound(question))) = self.asked.pop_front() else {
            return;
        };
        let (verdict, mask, keys) = self.decide(&question);
        let generation = self.generation;
        let verdict = Verdict::Outbound(verdict);
        self.answers.push(Answer {
            id,
            generation,
            keys,
            mask,
            verdict,
        });
    }
}

fn host_key(host: u8) -> Arc<str> {
    format!("host {host}").into()
}

fn group_key(host: u8) -> Arc<str> {
    format!("group {}", host / GROUP).into()
}

fn host_of(question: &OutboundQuestion) -> u8 {
    match question.destination {
        std::net::IpAddr::V4(address) => address.octets()[3],
        std::net::IpAddr::V6(_) => unreachable!("only IPv4 is asked"),
    }
}

fn question(pod: bool, host: u8, port: usize) -> OutboundQuestion {
    let pod = if pod { "a" } else { "b" };
    outbound(pod, &format!("10.0.0.{host}"), PORTS[port])
}

fn run(rig: &Rig, tier: &mut Tier, step: &Step) {
    match *step {
        Step::Ask { pod, host, port } => {
            let mut flow = Box::pin(rig.decisions.outbound(question(pod, host, port)));
            let _ = poll(&mut flow);
        }
        Step::Change { host } => tier.change(host),
        Step::Compute => tier.compute(),
        Step::Answer { which } => {
            if which < tier.answers.len() {
                rig.decisions.answer(vec![tier.answers.remove(which)]);
            }
        }
        Step::Invalidate { which } => {
            if which < tier.invalidations.len() {
                let (generation, keys) = tier.invalidations.remove(which);
                rig.decisions.invalidate(generation, &keys);
            }
        }
    }
    tier.asked.extend(rig.take_questions());
}

/// Whatever is cached once every invalidation has arrived is what would be decided now.
fn check_cached(rig: &Rig, tier: &mut Tier) {
    for pod in [true, false] {
        for (host, port) in (0..HOSTS).flat_map(|host| [(host, 0), (host, 1)]) {
            let question = question(pod, host, port);
            let (fresh, ..) = tier.decide(&question);
            let mut flow = Box::pin(rig.decisions.outbound(question));
            if let Poll::Ready(Ok(verdict)) = poll(&mut flow) {
                assert_eq!(*verdict, fresh);
            }
        }
    }
    tier.asked.extend(rig.take_questions());
}

/// Lets everything that is under way arrive; then every question gets the fresh verdict.
fn check_settled(rig: &Rig, tier: &mut Tier) {
    for pod in [true, false] {
        for (host, port) in (0..HOSTS).flat_map(|host| [(host, 0), (host, 1)]) {
            let question = question(pod, host, port);
            let (fresh, ..) = tier.decide(&question);
            let mut flow = Box::pin(rig.decisions.outbound(question));
            let mut reply = poll(&mut flow);
            for _ in 0..1000 {
                if reply.is_ready() {
                    break;
                }
                run(rig, tier, &Step::Compute);
                run(rig, tier, &Step::Answer { which: 0 });
                reply = poll(&mut flow);
            }
            assert_eq!(reply, Poll::Ready(Ok(Arc::new(fresh))));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn any_interleaving_answers_as_a_fresh_decision(
        steps in proptest::collection::vec(step(), 1..120),
        remembered_keys in 1..40_usize,
        entries in 1..20_usize,
    ) {
        let limits = DecisionLimits { remembered_keys, entries, ..DecisionLimits::default() };
        let rig = Rig::new(limits);
        let mut tier = Tier::default();
        for step in &steps {
            run(&rig, &mut tier, step);
            if tier.invalidations.is_empty() {
                check_cached(&rig, &mut tier);
            }
        }
        while !tier.invalidations.is_empty() {
            run(&rig, &mut tier, &Step::Invalidate { which: 0 });
        }
        check_settled(&rig, &mut tier);
    }
}
