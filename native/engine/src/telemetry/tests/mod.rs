mod access_log;
mod flows;
mod traffic;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{CancelHandle, FlowDescription, FlowStart, Reporters, Telemetry, TelemetryOptions};
use crate::api::{LogFormat, ServiceDescriptor, Transport, WorkloadDescriptor};

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
