use super::super::flow::Reporter;
use super::super::traffic::Traffic;
use super::*;
use crate::telemetry::{FlowEnd, Registry, ResponseFlags};

#[test]
fn bytes_are_counted_while_the_connection_is_open() {
    let telemetry = telemetry("off");
    let flow = telemetry.open(start(Reporters::Source));
    flow.received(10);
    flow.sent(2000);
    let text = telemetry.render();
    assert_eq!(value(&text, "istio_tcp_received_bytes_total{"), Some(10));
    assert_eq!(value(&text, "istio_tcp_sent_bytes_total{"), Some(2000));
    assert_eq!(value(&text, "istio_tcp_connections_opened_total{"), Some(1));
    assert_eq!(value(&text, "istio_tcp_connections_closed_total{"), Some(0));
    assert_eq!(
        value(&text, "istio_tcp_sockets_open{reporter=\"source\"}"),
        Some(1)
    );
    flow.finish(FlowEnd::complete());
    let text = telemetry.render();
    assert_eq!(value(&text, "istio_tcp_connections_closed_total{"), Some(1));
    assert_eq!(
        value(&text, "istio_tcp_sockets_open{reporter=\"source\"}"),
        Some(0)
    );
    assert_eq!(value(&text, "istio_tcp_connections_failed_total{"), None);
}

#[test]
fn the_labels_are_istios() {
    let telemetry = telemetry("off");
    let _flow = telemetry.open(start(Reporters::Source));
    let text = telemetry.render();
    let sample = text
        .lines()
        .find(|line| line.starts_with("istio_tcp_connections_opened_total{"));
    assert_eq!(
        sample,
        Some(concat!(
            "istio_tcp_connections_opened_total{reporter=\"source\",",
            "source_workload=\"client\",source_canonical_service=\"client\",",
            "source_canonical_revision=\"v1\",source_workload_namespace=\"shop\",",
            "source_principal=\"spiffe://td/ns/shop/sa/client\",source_app=\"unknown\",",
            "source_version=\"unknown\",source_cluster=\"Kubernetes\",",
            "destination_service=\"server.shop.svc.cluster.local\",",
            "destination_service_namespace=\"shop\",destination_service_name=\"server\",",
            "destination_workload=\"server\",destination_canonical_service=\"server\",",
            "destination_canonical_revision=\"v1\",destination_workload_namespace=\"shop\",",
            "destination_principal=\"spiffe://td/ns/shop/sa/server\",",
            "destination_app=\"unknown\",destination_version=\"unknown\",",
            "destination_cluster=\"Kubernetes\",request_protocol=\"tcp\",response_flags=\"-\",",
            "connection_security_policy=\"mutual_tls\",source_region=\"unknown\",",
            "source_zone=\"unknown\",destination_region=\"unknown\",",
            "destination_zone=\"unknown\"} 1",
        ))
    );
}

#[test]
fn plaintext_names_no_principal_that_nobody_verified() {
    let telemetry = telemetry("off");
    let mut start = start(Reporters::Destination);
    start.description.transport = Transport::Plaintext;
    start.description.source_identity = None;
    let _flow = telemetry.open(start);
    let text = telemetry.render();
    assert!(text.contains("source_principal=\"unknown\""));
    assert!(text.contains("connection_security_policy=\"unknown\""));
}

#[test]
fn a_node_local_join_is_one_flow_and_two_reports() {
    let telemetry = telemetry("off");
    let flow = telemetry.open(start(Reporters::Both));
    flow.received(7);
    let text = telemetry.render();
    assert_eq!(
        value(&text, "istio_tcp_received_bytes_total{reporter=\"source\""),
        Some(7)
    );
    assert_eq!(
        value(
            &text,
            "istio_tcp_received_bytes_total{reporter=\"destination\""
        ),
        Some(7)
    );
    let counts = ["pod-a", "pod-b", "pod-c"].map(|pod| telemetry.open_flows(pod));
    assert_eq!((counts, telemetry.all_open_flows()), ([1, 1, 0], 1));
    drop(flow);
    assert_eq!(
        (telemetry.open_flows("pod-a"), telemetry.all_open_flows()),
        (0, 0)
    );
}

#[test]
fn label_sets_beyond_the_bound_are_counted_as_other() {
    let registry = Registry::default();
    let traffic = Traffic::bounded(&registry, 2);
    for name in ["a", "b", "c", "d"] {
        let mut flow = description(Reporters::Source);
        flow.source_workload = Some(workload(name));
        let series = traffic.opened(&flow, Reporter::Source);
        series.sent(1);
    }
    let mut text = String::new();
    traffic.render(&mut text);
    registry.render(&mut text);
    assert_eq!(
        value(
            &text,
            "istio_tcp_sent_bytes_total{reporter=\"source\",source_workload=\"other\""
        ),
        Some(2)
    );
    assert_eq!(value(&text, "ambit_traffic_series_overflow_total"), Some(2));
}

/// The failures counted under names of clients and response flags.
fn failures(traffic: &Traffic) -> Vec<(String, u64)> {
    let mut text = String::new();
    traffic.render(&mut text);
    let failed = |line: &&str| line.starts_with("istio_tcp_connections_failed_total{");
    let label = |line: &str, name: &str| {
        let rest = line.split_once(&format!("{name}=\""))?.1;
        Some(rest.split_once('"')?.0.to_owned())
    };
    let mut counted: Vec<_> = text
        .lines()
        .filter(failed)
        .map(|line| {
            let name = label(line, "source_workload").expect("a name");
            let flags = label(line, "response_flags").expect("flags");
            let count = line.rsplit_once(' ').expect("a count").1;
            (format!("{name} {flags}"), count.parse().expect("a number"))
        })
        .collect();
    counted.sort();
    counted
}

#[test]
fn open_flows_that_policy_ends_are_counted_under_their_own_labels_and_deny() {
    let traffic = Traffic::bounded(&Registry::default(), 10);
    for name in ["a", "a", "b"] {
        let mut flow = description(Reporters::Source);
        flow.source_workload = Some(workload(name));
        let series = traffic.opened(&flow, Reporter::Source);
        traffic.broken(&series, &flow, Reporter::Source, ResponseFlags::Deny);
        traffic.broken(&series, &flow, Reporter::Source, ResponseFlags::None);
    }
    let expected = [("a -", 2), ("a DENY", 2), ("b -", 1), ("b DENY", 1)];
    assert_eq!(
        failures(&traffic),
        expected.map(|(name, count)| (name.to_owned(), count))
    );
}

#[test]
fn of_flows_that_share_an_overflow_each_failure_finds_its_own_labels() {
    let traffic = Traffic::bounded(&Registry::default(), 0);
    for name in ["a", "b"] {
        let mut flow = description(Reporters::Source);
        flow.source_workload = Some(workload(name));
        let series = traffic.opened(&flow, Reporter::Source);
        traffic.broken(&series, &flow, Reporter::Source, ResponseFlags::Deny);
    }
    assert_eq!(failures(&traffic), [("other other".to_owned(), 2)]);
}
