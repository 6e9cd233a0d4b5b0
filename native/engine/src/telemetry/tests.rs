use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use super::flow::Reporter;
use super::log_line::{LogRecord, Transfer};
use super::traffic::Traffic;
use super::{
    CancelHandle, FlowDescription, FlowEnd, FlowStart, Registry, Reporters, ResponseFlags,
    Telemetry, TelemetryOptions,
};
use crate::api::{
    Direction, InboundQuestion, LogFormat, ServiceDescriptor, Transport, WorkloadDescriptor,
};

/// A log file of this test alone, removed with it.
struct LogFile(PathBuf);

impl LogFile {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("ambit-access-log-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.0).expect("the log");
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for LogFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn telemetry(access_log: &str) -> Arc<Telemetry> {
    let options = TelemetryOptions {
        access_log: access_log.to_owned(),
        access_log_format: LogFormat::Plain,
        version: "1.2.3".to_owned(),
    };
    Telemetry::new(&options).expect("telemetry")
}

fn workload(name: &str) -> Arc<WorkloadDescriptor> {
    Arc::new(WorkloadDescriptor {
        uid: format!("c//Pod/shop/{name}").into(),
        name: format!("{name}-1").into(),
        namespace: "shop".into(),
        workload: name.into(),
        canonical_service: name.into(),
        canonical_revision: "v1".into(),
        principal: format!("spiffe://td/ns/shop/sa/{name}").into(),
        cluster: "Kubernetes".into(),
        ..WorkloadDescriptor::default()
    })
}

fn description(reporters: Reporters) -> FlowDescription {
    FlowDescription {
        reporters,
        source_pod: Some("pod-a".into()),
        destination_pod: Some("pod-b".into()),
        source: "10.0.0.1:4000".parse().expect("an address"),
        original_destination: "10.96.0.1:80".parse().expect("an address"),
        destination: "10.0.0.2:15008".parse().expect("an address"),
        hbone_address: Some("10.0.0.2:8080".parse().expect("an address")),
        source_workload: Some(workload("client")),
        destination_workload: Some(workload("server")),
        service: Some(Arc::new(ServiceDescriptor {
            key: "shop/server.shop.svc.cluster.local".into(),
            hostname: "server.shop.svc.cluster.local".into(),
            name: "server".into(),
            namespace: "shop".into(),
        })),
        transport: Transport::MutualTls,
        source_identity: Some("spiffe://td/ns/shop/sa/client".into()),
        destination_identity: Some("spiffe://td/ns/shop/sa/server".into()),
    }
}

fn start(reporters: Reporters) -> FlowStart {
    FlowStart {
        description: description(reporters),
        question: Some(InboundQuestion {
            pod: "pod-b".into(),
            peer: None,
            source: "10.0.0.1".parse().expect("an address"),
            destination: "10.0.0.2".parse().expect("an address"),
            port: 8080,
            transport: Transport::NodeLocal,
        }),
        cancel: CancelHandle::new(),
    }
}

/// The value of the one sample that begins with `prefix`.
fn value(text: &str, prefix: &str) -> Option<u64> {
    let mut samples = text.lines().filter(|line| line.starts_with(prefix));
    let sample = samples.next()?;
    assert!(samples.next().is_none(), "several samples of {prefix}");
    sample.rsplit(' ').next()?.parse().ok()
}

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
fn the_inbound_row_keeps_the_question() {
    let telemetry = telemetry("off");
    let _flow = telemetry.open(start(Reporters::Both));
    let mut rows = telemetry.flows();
    rows.sort_by_key(|row| row.id);
    let seen: Vec<_> = rows
        .iter()
        .map(|row| (&*row.pod, row.direction, row.question.is_some()))
        .collect();
    assert_eq!(
        seen,
        [
            ("pod-a", Direction::Outbound, false),
            ("pod-b", Direction::Inbound, true)
        ]
    );
}

#[test]
fn closing_a_flow_cancels_it_once_with_the_reason() {
    let telemetry = telemetry("off");
    let start = start(Reporters::Both);
    let cancel = start.cancel.clone();
    let _flow = telemetry.open(start);
    let ids: Vec<_> = telemetry.flows().iter().map(|row| row.id).collect();
    assert_eq!(telemetry.close_flows(&ids, "policy_changed"), 1);
    assert_eq!(telemetry.close_pod("pod-b", "pod_removed"), 0);
    assert_eq!(cancel.reason().as_deref(), Some("policy_changed"));
}

#[test]
fn a_flow_given_up_is_closed_and_failed() {
    let telemetry = telemetry("off");
    drop(telemetry.open(start(Reporters::Source)));
    let text = telemetry.render();
    assert_eq!(value(&text, "istio_tcp_connections_closed_total{"), Some(1));
    assert_eq!(value(&text, "istio_tcp_connections_failed_total{"), Some(1));
}

#[test]
fn a_rejected_flow_names_the_policy_in_metric_and_log() {
    let file = LogFile::new();
    let telemetry = telemetry(file.0.to_str().expect("a path"));
    let mut end = FlowEnd::failed(ResponseFlags::Deny, "refused by policy");
    end.policy = Some("shop/deny-all".into());
    telemetry.reject(&description(Reporters::Destination), &end);
    telemetry.shut_down();
    let text = telemetry.render();
    let labels = "{reporter=\"destination\",policy=\"shop/deny-all\"}";
    assert_eq!(
        value(
            &text,
            &format!("ambit_policy_denied_connections_total{labels}")
        ),
        Some(1)
    );
    assert_eq!(value(&text, "istio_tcp_connections_failed_total{"), Some(1));
    assert!(text.contains("response_flags=\"DENY\""));
    let lines = file.lines();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("\twarn\taccess\tconnection failed\tsrc.addr=10.0.0.1:4000 "));
    assert!(lines[0].ends_with("error=\"refused by policy\" policy=\"shop/deny-all\""));
}

#[test]
fn every_flow_leaves_one_line_for_each_report() {
    let file = LogFile::new();
    let telemetry = telemetry(file.0.to_str().expect("a path"));
    for _ in 0..1000 {
        telemetry
            .open(start(Reporters::Both))
            .finish(FlowEnd::complete());
    }
    telemetry.shut_down();
    assert_eq!(file.lines().len(), 2000);
    telemetry
        .open(start(Reporters::Source))
        .finish(FlowEnd::complete());
    assert_eq!(
        value(
            &telemetry.render(),
            "ambit_access_log_dropped_total{reason=\"queue_full\"}"
        ),
        Some(1)
    );
}

#[test]
fn a_disk_that_takes_nothing_counts_the_lines() {
    let telemetry = telemetry("/dev/full");
    telemetry
        .open(start(Reporters::Source))
        .finish(FlowEnd::complete());
    telemetry.shut_down();
    assert_eq!(
        value(
            &telemetry.render(),
            "ambit_access_log_dropped_total{reason=\"write_failed\"}"
        ),
        Some(1)
    );
}

fn record(end: FlowEnd) -> LogRecord {
    LogRecord {
        time: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        description: Arc::new(description(Reporters::Source)),
        reporter: Reporter::Source,
        end: Arc::new(end),
        transfer: Some(Transfer {
            received: 10,
            sent: 2000,
            duration: Duration::from_micros(12_900),
        }),
    }
}

#[test]
fn the_plain_line_has_ztunnels_fields_in_its_order() {
    let mut out = String::new();
    record(FlowEnd::complete()).write(&mut out, LogFormat::Plain);
    assert_eq!(
        out,
        concat!(
            "2023-11-14T22:13:20.000000Z\tinfo\taccess\tconnection complete\t",
            "src.addr=10.0.0.1:4000 src.workload=\"client-1\" src.namespace=\"shop\" ",
            "src.identity=\"spiffe://td/ns/shop/sa/client\" src.cluster=\"Kubernetes\" ",
            "dst.addr=10.0.0.2:15008 dst.hbone_addr=10.0.0.2:8080 ",
            "dst.service=\"server.shop.svc.cluster.local\" dst.workload=\"server-1\" ",
            "dst.namespace=\"shop\" dst.identity=\"spiffe://td/ns/shop/sa/server\" ",
            "dst.cluster=\"Kubernetes\" direction=\"outbound\" bytes_sent=10 bytes_recv=2000 ",
            "duration=\"12ms\"\n",
        )
    );
}

#[test]
fn the_json_line_is_json() {
    let mut out = String::new();
    record(FlowEnd::failed(
        ResponseFlags::Connect,
        "a \"quoted\"\nline",
    ))
    .write(&mut out, LogFormat::Json);
    let line: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        (&line["level"], &line["scope"]),
        (&"error".into(), &"access".into())
    );
    assert_eq!(
        (&line["bytes_sent"], &line["bytes_recv"]),
        (&10.into(), &2000.into())
    );
    assert_eq!(line["error"], "a \"quoted\"\nline");
    assert_eq!(line["dst.hbone_addr"], "10.0.0.2:8080");
    assert_eq!(out.matches('\n').count(), 1);
}

#[test]
fn no_peer_writes_a_line_of_its_own() {
    let mut out = String::new();
    record(FlowEnd::failed(
        ResponseFlags::Connect,
        "x\n2023 info access",
    ))
    .write(&mut out, LogFormat::Plain);
    assert_eq!(out.matches('\n').count(), 1);
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
