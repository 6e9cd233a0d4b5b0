mod cost;
mod property;
mod support;
mod threads;

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::{DecisionLimits, Refusal};
use support::{ANY, EXACT, Rig, allow, deny, mask, outbound, pass, poll};

#[test]
fn a_cached_verdict_needs_no_question_and_no_wait() {
    let rig = Rig::new(DecisionLimits::default());
    let mut first = Box::pin(rig.decisions.outbound(outbound("a", "10.0.0.1", 80)));
    assert!(poll(&mut first).is_pending());
    rig.answer_all(1, &["k"], EXACT, &pass("w"));
    assert_eq!(
        poll(&mut first).map(|reply| reply.is_ok()),
        Poll::Ready(true)
    );
    let mut second = Box::pin(rig.decisions.outbound(outbound("a", "10.0.0.1", 80)));
    assert!(poll(&mut second).is_ready());
    assert_eq!(rig.asked_in_all(), 1);
}

#[test]
fn the_same_question_is_asked_once_for_all_that_wait() {
    let rig = Rig::new(DecisionLimits::default());
    let mut flows: Vec<_> = (0..50)
        .map(|_| Box::pin(rig.decisions.outbound(outbound("a", "10.0.0.1", 80))))
        .collect();
    assert!(flows.iter_mut().all(|flow| poll(flow).is_pending()));
    rig.answer_all(1, &["k"], EXACT, &pass("w"));
    assert!(flows.iter_mut().all(|flow| poll(flow).is_ready()));
    assert_eq!(rig.asked_in_all(), 1);
}

#[test]
fn an_ipv4_mapped_destination_is_the_ipv4_one() {
    let rig = Rig::new(DecisionLimits::default());
    rig.settle(outbound("a", "10.0.0.1", 80), &["k"], EXACT, &pass("w"));
    let mut flow = Box::pin(rig.decisions.outbound(outbound("a", "::ffff:10.0.0.1", 80)));
    assert!(poll(&mut flow).is_ready());
}

#[test]
fn a_scan_of_100_000_addresses_makes_a_handful_of_questions_and_entries() {
    let rig = Rig::new(DecisionLimits::default());
    let wide = mask(12, true);
    for chunk in 0..100_u32 {
        let scanned = (0..1000_u32).map(|offset| {
            let address = std::net::Ipv4Addr::from_bits(0x0A00_0000 + chunk * 1000 + offset);
            outbound("a", &address.to_string(), (offset % 60_000) as u16)
        });
        let mut flows: Vec<_> = scanned
            .map(|question| Box::pin(rig.decisions.outbound(question)))
            .collect();
        let waiting = flows.iter_mut().filter_map(|flow| match poll(flow) {
            Poll::Pending => Some(()),
            Poll::Ready(reply) => reply.err().map(|refusal| panic!("refused: {refusal}")),
        });
        let waiting = waiting.count();
        assert!(waiting == 0 || chunk == 0);
        rig.answer_all(1, &["unknown"], wide, &pass("w"));
        assert!(
            flows
                .iter_mut()
                .all(|flow| waiting == 0 || poll(flow).is_ready())
        );
    }
    assert!(rig.asked_in_all() <= 10, "{}", rig.asked_in_all());
    assert!(rig.entries("a") <= 10);
}

#[test]
fn a_pod_that_scans_delays_no_other_pod() {
    let rig = Rig::new(DecisionLimits::default());
    let mut scan: Vec<_> = (0..200)
        .map(|host| {
            let address = format!("10.0.0.{host}");
            Box::pin(rig.decisions.outbound(outbound("scanner", &address, 80)))
        })
        .collect();
    assert!(scan.iter_mut().all(|flow| poll(flow).is_pending()));
    assert_eq!(
        rig.asked_in_all(),
        DecisionLimits::default().outbound_in_flight
    );
    let mut other = Box::pin(rig.decisions.outbound(outbound("b", "10.0.0.1", 80)));
    assert!(poll(&mut other).is_pending());
    rig.answer_pod("b", 1, &["k"], EXACT, &pass("w"));
    assert!(poll(&mut other).is_ready());
}

#[test]
fn queued_questions_that_an_answer_does_not_cover_are_asked_in_turn() {
    let rig = Rig::new(DecisionLimits::default());
    let mut flows: Vec<_> = (0..20)
        .map(|host| {
            let address = format!("10.0.0.{host}");
            Box::pin(rig.decisions.outbound(outbound("a", &address, 80)))
        })
        .collect();
    assert!(flows.iter_mut().all(|flow| poll(flow).is_pending()));
    for _ in 0..5 {
        rig.answer_all(1, &["k"], EXACT, &pass("w"));
    }
    assert!(flows.iter_mut().all(|flow| poll(flow).is_ready()));
    assert_eq!(rig.asked_in_all(), 20);
}

#[test]
fn an_answer_wakes_the_flows_of_other_questions_that_it_covers() {
    let rig = Rig::new(DecisionLimits::default());
    let mut first = Box::pin(rig.decisions.outbound(outbound("a", "10.0.0.1", 80)));
    let mut second = Box::pin(rig.decisions.outbound(outbound("a", "10.0.0.1", 81)));
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    let id = rig.take_questions()[0].0;
    rig.answer(id, 1, &["k"], mask(32, true), &pass("w"));
    assert!(poll(&mut second).is_ready());
}

#[test]
fn an_answer_outdated_by_an_invalidation_is_asked_again() {
    let rig = Rig::new(DecisionLimits::default());
    let mut flow = Box::pin(rig.decisions.outbound(outbound("a", "10.0.0.1", 80)));
    assert!(poll(&mut flow).is_pending());
    rig.decisions.invalidate(5, &[Arc::from("k")]);
    rig.answer_all(4, &["j", "k"], EXACT, &pass("old"));
    assert!(poll(&mut flow).is_pending());
    rig.answer_all(5, &["k"], EXACT, &pass("new"));
    let Poll::Ready(Ok(verdict)) = poll(&mut flow) else {
        panic!("no verdict");
    };
    assert_eq!(*verdict, pass("new"));
}

#[test]
fn an_answer_that_is_always_stale_ends_in_a_refusal() {
    let limits = DecisionLimits {
        repeats: 2,
        ..DecisionLimits::default()
    };
    let rig = Rig::new(limits);
    let mut flow = Box::pin(rig.decisions.outbound(outbound("a", "10.0.0.1", 80)));
    assert!(poll(&mut flow).is_pending());
    rig.decisions.invalidate(5, &[Arc::from("k")]);
    for _ in 0..3 {
        rig.answer_all(4, &["k"], EXACT, &pass("old"));
    }
    assert_eq!(poll(&mut flow), Poll::Ready(Err(Refusal::Unstable)));
    assert_eq!(rig.asked_in_all(), 3);
}

#[test]
fn an_invalidation_drops_entries_of_every_pod_that_read_the_key_and_no_other() {
    let rig = Rig::new(DecisionLimits::default());
    rig.settle(outbound("a", "10.0.0.1", 80), &["k"], EXACT, &pass("w"));
    rig.settle(
        outbound("b", "10.0.0.1", 80),
        &["k", "j"],
        EXACT,
        &pass("w"),
    );
    rig.settle(outbound("b", "10.0.0.2", 80), &["j"], EXACT, &pass("w"));
    rig.decisions.invalidate(2, &[Arc::from("k")]);
    assert_eq!((rig.entries("a"), rig.entries("b")), (0, 1));
}

#[test]
fn an_invalidation_of_an_older_generation_leaves_what_is_newer() {
    let rig = Rig::new(DecisionLimits::default());
    rig.settle(outbound("a", "10.0.0.1", 80), &["k"], EXACT, &pass("w"));
    rig.decisions.invalidate(1, &[Arc::from("k")]);
    assert_eq!(rig.entries("a"), 1);
}

#[test]
fn peer_and_transport_always_matter_to_an_inbound_verdict() {
    let rig = Rig::new(DecisionLimits::default());
    let from = |peer: Option<&str>| support::inbound("a", peer, "10.0.0.9", 80);
    let mut good = Box::pin(rig.decisions.inbound(from(Some("spiffe://td/ns/x/sa/y"))));
    assert!(poll(&mut good).is_pending());
    rig.answer_all_inbound(1, &["k"], ANY, &allow());
    assert!(poll(&mut good).is_ready());
    let mut bad = Box::pin(rig.decisions.inbound(from(None)));
    assert!(poll(&mut bad).is_pending());
    rig.answer_all_inbound(1, &["k"], ANY, &deny("ns/p"));
    assert_eq!(
        poll(&mut bad).map(|it| it.map(|it| it.allow)),
        Poll::Ready(Ok(false))
    );
}

#[test]
fn an_answer_of_the_wrong_direction_refuses_the_flow() {
    let rig = Rig::new(DecisionLimits::default());
    let mut flow = Box::pin(rig.decisions.outbound(outbound("a", "10.0.0.1", 80)));
    assert!(poll(&mut flow).is_pending());
    rig.answer_all_inbound(1, &["k"], ANY, &allow());
    assert_eq!(poll(&mut flow), Poll::Ready(Err(Refusal::InvalidAnswer)));
    assert_eq!(rig.entries("a"), 0);
}

#[test]
fn waiting_ends_with_a_refusal() {
    let limits = DecisionLimits {
        question_timeout: Duration::from_millis(5),
        ..DecisionLimits::default()
    };
    let rig = Rig::new(limits);
    let reply = rig.block_on(rig.decisions.outbound(outbound("a", "10.0.0.1", 80)));
    assert_eq!(reply, Err(Refusal::Timeout));
}

#[test]
fn questions_that_were_never_answered_hold_no_place() {
    let limits = DecisionLimits {
        question_timeout: Duration::from_millis(5),
        outbound_in_flight: 1,
        ..DecisionLimits::default()
    };
    let rig = Rig::new(limits);
    for port in 1..=3 {
        let reply = rig.block_on(rig.decisions.outbound(outbound("a", "10.0.0.1", port)));
        assert_eq!(reply, Err(Refusal::Timeout));
    }
    assert_eq!(rig.asked_in_all(), 3);
}

#[test]
fn too_many_waiting_flows_of_a_pod_close_only_its_own() {
    let limits = DecisionLimits {
        waiting: 3,
        ..DecisionLimits::default()
    };
    let rig = Rig::new(limits);
    let mut flows: Vec<_> = (0..4)
        .map(|_| Box::pin(rig.decisions.outbound(outbound("a", "10.0.0.1", 80))))
        .collect();
    let replies: Vec<_> = flows.iter_mut().map(poll).collect();
    assert_eq!(replies[3], Poll::Ready(Err(Refusal::QueueFull)));
    let mut other = Box::pin(rig.decisions.outbound(outbound("b", "10.0.0.1", 80)));
    assert!(poll(&mut other).is_pending());
}

#[test]
fn flows_that_gave_up_leave_room_for_others() {
    let limits = DecisionLimits {
        waiting: 2,
        ..DecisionLimits::default()
    };
    let rig = Rig::new(limits);
    for _ in 0..5 {
        let mut flow = Box::pin(rig.decisions.outbound(outbound("a", "10.0.0.1", 80)));
        assert!(poll(&mut flow).is_pending());
    }
}

#[test]
fn a_pod_that_asks_too_fast_is_refused() {
    let limits = DecisionLimits {
        burst: 2,
        questions_per_second: 0,
        ..DecisionLimits::default()
    };
    let rig = Rig::new(limits);
    rig.settle(outbound("a", "10.0.0.1", 80), &[], EXACT, &pass("w"));
    rig.settle(outbound("a", "10.0.0.2", 80), &[], EXACT, &pass("w"));
    let mut flow = Box::pin(rig.decisions.outbound(outbound("a", "10.0.0.3", 80)));
    assert_eq!(poll(&mut flow), Poll::Ready(Err(Refusal::RateLimited)));
    let mut known = Box::pin(rig.decisions.outbound(outbound("a", "10.0.0.1", 80)));
    assert!(poll(&mut known).is_ready());
}

#[test]
fn the_cache_of_a_pod_is_bounded_and_keeps_what_is_used() {
    let limits = DecisionLimits {
        entries: 8,
        ..DecisionLimits::default()
    };
    let rig = Rig::new(limits);
    for host in 0..100 {
        rig.settle(
            outbound("a", &format!("10.0.0.{host}"), 80),
            &["k"],
            EXACT,
            &pass("w"),
        );
        let mut used = Box::pin(rig.decisions.outbound(outbound("a", "10.0.0.0", 80)));
        assert!(poll(&mut used).is_ready());
    }
    assert_eq!(rig.entries("a"), 8);
}

#[test]
fn removing_a_pod_refuses_its_waiting_flows_and_keeps_nothing() {
    let rig = Rig::new(DecisionLimits::default());
    rig.settle(outbound("a", "10.0.0.1", 80), &["k"], EXACT, &pass("w"));
    let mut flow = Box::pin(rig.decisions.outbound(outbound("a", "10.0.0.2", 80)));
    assert!(poll(&mut flow).is_pending());
    rig.decisions.remove_pod("a");
    assert_eq!(poll(&mut flow), Poll::Ready(Err(Refusal::PodRemoved)));
    assert!(rig.is_empty());
}

#[test]
fn an_answer_that_nobody_asked_for_changes_nothing() {
    let rig = Rig::new(DecisionLimits::default());
    rig.answer(77, 1, &["k"], EXACT, &pass("w"));
    assert!(rig.is_empty());
}

#[test]
fn a_flow_is_woken_on_another_threads_runtime() {
    let rig = Rig::new(DecisionLimits::default());
    let decisions = rig.decisions.clone();
    let flow = std::thread::spawn(move || {
        let runtime = support::runtime();
        runtime.block_on(decisions.outbound(outbound("a", "10.0.0.1", 80)))
    });
    let id = rig.next_question();
    rig.answer(id, 1, &["k"], EXACT, &pass("w"));
    assert_eq!(
        *flow.join().expect("no panic").expect("a verdict"),
        pass("w")
    );
}
