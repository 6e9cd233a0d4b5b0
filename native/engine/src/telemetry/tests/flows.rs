use super::*;
use crate::api::Direction;
use crate::telemetry::FlowEnd;

#[test]
fn a_join_has_a_row_at_each_of_its_pods() {
    let telemetry = telemetry("off");
    let _flow = telemetry.open(start(Reporters::Both));
    let directions = ["pod-a", "pod-b", "pod-c"].map(|pod| {
        let rows = telemetry.flows(pod, 0, 10);
        let seen = rows.iter().map(|row| (row.pod.to_string(), row.direction));
        seen.collect::<Vec<_>>()
    });
    let outbound = ("pod-a".to_owned(), Direction::Outbound);
    let inbound = ("pod-b".to_owned(), Direction::Inbound);
    assert_eq!(directions, [vec![outbound], vec![inbound], vec![]]);
}

#[test]
fn a_page_begins_behind_the_last_ones_end() {
    let telemetry = telemetry("off");
    let _open = [(); 5].map(|()| telemetry.open(start(Reporters::Source)));
    let first = telemetry.flows("pod-a", 0, 3);
    let second = telemetry.flows("pod-a", first[2].id, 3);
    let mut ids: Vec<_> = first.iter().chain(&second).map(|row| row.id).collect();
    assert_eq!((first.len(), second.len()), (3, 2));
    assert!(ids.is_sorted());
    ids.dedup();
    assert_eq!(ids.len(), 5);
}

#[test]
fn closing_a_pod_cancels_its_flows_once_with_the_reason() {
    let telemetry = telemetry("off");
    let start = start(Reporters::Both);
    let cancel = start.cancel.clone();
    let _flow = telemetry.open(start);
    assert_eq!(telemetry.close_pod("pod-c", "another"), 0);
    assert_eq!(telemetry.close_pod("pod-b", "pod_removed"), 1);
    assert_eq!(telemetry.close_pod("pod-a", "later"), 0);
    assert_eq!(cancel.reason().as_deref(), Some("pod_removed"));
}

#[test]
fn a_flow_given_up_is_closed_and_failed() {
    let telemetry = telemetry("off");
    drop(telemetry.open(start(Reporters::Source)));
    let text = telemetry.render();
    assert_eq!(value(&text, "istio_tcp_connections_closed_total{"), Some(1));
    assert_eq!(value(&text, "istio_tcp_connections_failed_total{"), Some(1));
}

#[tokio::test]
async fn a_cancel_before_the_wait_is_not_missed() {
    let cancel = CancelHandle::new();
    assert!(cancel.cancel("drain"));
    assert!(!cancel.cancel("later"));
    assert_eq!(&*cancel.cancelled().await, "drain");
}

#[tokio::test]
async fn a_cancel_wakes_who_waits() {
    let cancel = CancelHandle::new();
    let waiting = tokio::spawn({
        let cancel = cancel.clone();
        async move { cancel.cancelled().await }
    });
    tokio::task::yield_now().await;
    std::thread::spawn(move || cancel.cancel("drain"));
    assert_eq!(&*waiting.await.expect("no panic"), "drain");
}

/// Prints what a node-local flow costs from open to finish. Run it in the release profile with `--ignored --nocapture`.
#[test]
#[ignore = "a measurement, not a check"]
fn a_flow_costs() {
    const ROUNDS: u32 = 100_000;
    let telemetry = telemetry("off");
    let started = std::time::Instant::now();
    for _ in 0..ROUNDS {
        let flow = telemetry.open(start(Reporters::Both));
        flow.received(100);
        flow.finish(FlowEnd::complete());
    }
    println!("{:?} for a flow", started.elapsed() / ROUNDS);
    let start_of_making = std::time::Instant::now();
    for _ in 0..ROUNDS {
        std::hint::black_box(start(Reporters::Both));
    }
    println!(
        "{:?} of them for describing it",
        start_of_making.elapsed() / ROUNDS
    );
}
