use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::support::{EXACT, Rig, outbound, pass, runtime};
use crate::decisions::{DecisionLimits, Decisions};

const THREADS: usize = 4;
const ROUNDS: usize = 2_000;
const HOSTS: usize = 32;

/// Says that a thread is done, also when it failed.
struct Done<'a>(&'a AtomicU64);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// One engine thread: asks over and over.
fn ask_all(decisions: &Decisions, thread: usize, done: &AtomicU64) {
    let _done = Done(done);
    let runtime = runtime();
    for round in 0..ROUNDS {
        let host = (round * 7 + thread * 13) % HOSTS;
        let pod = if round % 2 == 0 { "a" } else { "b" };
        let question = outbound(pod, &format!("10.0.0.{host}"), 80);
        let verdict = runtime.block_on(decisions.outbound(question));
        assert_eq!(*verdict.expect("a verdict"), pass(&host.to_string()));
    }
}

/// The decision tier: answers what is asked and keeps changing things, until every thread is done.
fn serve(rig: &Rig, done: &AtomicU64) {
    let mut generation = 1;
    while done.load(Ordering::Relaxed) < THREADS as u64 {
        for (id, host) in rig.asked_hosts() {
            rig.answer(id, generation, &[&host], EXACT, &pass(&host));
        }
        generation += 1;
        let key = (generation % HOSTS as u64).to_string();
        rig.decisions.invalidate(generation, &[Arc::from(key)]);
        std::thread::yield_now();
    }
}

#[test]
fn threads_with_runtimes_of_their_own_all_get_their_verdicts() {
    let limits = DecisionLimits {
        questions_per_second: u32::MAX,
        repeats: 1000,
        ..DecisionLimits::default()
    };
    let rig = Rig::new(limits);
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (decisions, done) = (rig.decisions.clone(), &done);
            scope.spawn(move || ask_all(&decisions, thread, done));
        }
        serve(&rig, &done);
    });
    assert!(rig.entries("a") <= HOSTS && rig.entries("b") <= HOSTS);
}
