use std::time::{Duration, UNIX_EPOCH};

use super::super::flow::Reporter;
use super::super::log_line::{LogRecord, Transfer};
use super::*;
use crate::api::{AccessLogFilter, Direction, WantedOutcome};
use crate::telemetry::{FlowEnd, ResponseFlags};

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
        flow: 1,
        description: Arc::new(description(Reporters::Source)),
        reporter: Reporter::Source,
        end,
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

/// Ends one well and one with an error, refuses one; each is told of by both of its pods.
fn three_ends(telemetry: &Arc<Telemetry>) {
    let both = || telemetry.open(start(Reporters::Both));
    both().finish(FlowEnd::complete());
    both().finish(FlowEnd::failed(ResponseFlags::None, "broken"));
    let denied = FlowEnd::failed(ResponseFlags::Deny, "denied");
    telemetry.reject(&description(Reporters::Both), &denied);
}

/// How many of the six lines are left, and what was counted as left out by the filter and by sampling.
fn left(filter: AccessLogFilter) -> [Option<u64>; 3] {
    let file = LogFile::new();
    let telemetry = telemetry(file.0.to_str().expect("a path"));
    telemetry.set_access_log_filter(filter);
    three_ends(&telemetry);
    telemetry.shut_down();
    let text = telemetry.render();
    let counted = ["filter", "sampling"].map(|reason| {
        let sample = format!("ambit_access_log_left_out_total{{reason=\"{reason}\"}}");
        value(&text, &sample)
    });
    [Some(file.lines().len() as u64), counted[0], counted[1]]
}

#[test]
fn the_filter_leaves_out_what_nobody_wants_and_counts_it() {
    let all = AccessLogFilter::default;
    let outcome = |outcome| AccessLogFilter { outcome, ..all() };
    assert_eq!(left(all()), [6, 0, 0].map(Some));
    assert_eq!(left(outcome(WantedOutcome::Errors)), [4, 2, 0].map(Some));
    assert_eq!(left(outcome(WantedOutcome::Denied)), [2, 4, 0].map(Some));
    let directions = vec![Direction::Inbound];
    assert_eq!(
        left(AccessLogFilter {
            directions,
            ..all()
        }),
        [3, 3, 0].map(Some)
    );
    for (namespace, written) in [("shop", 6), ("bank", 0)] {
        let namespaces = vec![namespace.into()];
        let filter = AccessLogFilter {
            namespaces,
            ..all()
        };
        assert_eq!(left(filter), [written, 6 - written, 0].map(Some));
    }
}

#[test]
fn sampling_leaves_out_only_what_went_well() {
    let none = AccessLogFilter {
        sampling: 0,
        ..AccessLogFilter::default()
    };
    assert_eq!(left(none), [4, 0, 2].map(Some));
}

#[test]
fn both_lines_of_a_join_are_sampled_or_neither() {
    let file = LogFile::new();
    let telemetry = telemetry(file.0.to_str().expect("a path"));
    telemetry.set_access_log_filter(AccessLogFilter {
        sampling: 5_000,
        ..AccessLogFilter::default()
    });
    for _ in 0..1000 {
        telemetry
            .open(start(Reporters::Both))
            .finish(FlowEnd::complete());
    }
    telemetry.shut_down();
    let lines = file.lines();
    let outbound = lines
        .iter()
        .filter(|line| line.contains("outbound"))
        .count();
    assert!((300..700).contains(&outbound), "{outbound}");
    assert_eq!(lines.len(), 2 * outbound);
}
