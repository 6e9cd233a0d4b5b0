//! Pods that reach the control plane through the engine, which vouches for them.

mod support;

use std::net::SocketAddr;

use ambit_engine::api::{OutboundAction, OutboundVerdict, Relay};
use support::application::act_as_child;
use support::authority::Authority;
use support::control::Control;
use support::{Mesh, eventually, skipped};

const NAME: &str = "control.ambit-system.svc";
const CONTROL: &str = "10.96.0.10:15010";

/// Not a test: what this binary does when a test started it as an application.
#[test]
fn child() {
    act_as_child();
}

/// A pod whose connections to the control plane's address are relayed to a server.
struct Setting {
    mesh: Mesh,
    pod: usize,
}

impl Setting {
    fn new() -> Self {
        let mut mesh = Mesh::new(1);
        let pod = mesh.pod(2, 0);
        Setting { mesh, pod }
    }

    fn relay(&self, host: &str, server: SocketAddr) {
        let relay = Relay {
            address: host.into(),
            port: server.port(),
            server_name: NAME.into(),
        };
        let verdict = OutboundVerdict {
            action: OutboundAction::Relay(relay),
            service: None,
        };
        let mut policy = self.mesh.policy.lock().expect("policy");
        policy
            .outbound
            .insert(CONTROL.parse().expect("an address"), verdict);
    }

    fn call(&self) -> String {
        let netns = self.mesh.netns(self.pod);
        self.mesh.call(&netns, CONTROL.parse().expect("an address"))
    }

    fn has_metric(&self, part: &str) -> bool {
        let text = self.mesh.nodes[0].engine.metrics_text().expect("metrics");
        text.lines()
            .any(|line| line.contains(part) && !line.ends_with(" 0"))
    }

    fn refuses(&self, reason: &str) {
        assert_eq!(self.call(), "error ConnectionReset");
        let counter = format!("ambit_flows_refused_total{{reason=\"{reason}\"}}");
        eventually(reason, || self.has_metric(&counter));
    }
}

#[test]
fn the_server_sees_the_pods_identity_and_the_pod_needs_none() {
    if skipped() {
        return;
    }
    for host in ["127.0.0.1", "localhost"] {
        let setting = Setting::new();
        let control = Control::start(&setting.mesh.authority.issue_named(NAME), "h2");
        setting.relay(host, control.address);
        let identity = &setting.mesh.pods[setting.pod].identity;
        assert_eq!(setting.call(), format!("hello to {NAME} from {identity}"));
        control.end();
        let report = "connection_security_policy=\"mutual_tls\"";
        eventually("the report", || setting.has_metric(report));
    }
}

#[test]
fn a_server_of_another_name_is_refused() {
    if skipped() {
        return;
    }
    let setting = Setting::new();
    let other = setting.mesh.authority.issue_named("other.ambit-system.svc");
    let control = Control::start(&other, "h2");
    setting.relay("127.0.0.1", control.address);
    setting.refuses("tls_failed");
    control.end();
}

#[test]
fn a_server_of_another_root_is_refused() {
    if skipped() {
        return;
    }
    let setting = Setting::new();
    let control = Control::start(&Authority::new().issue_named(NAME), "h2");
    setting.relay("127.0.0.1", control.address);
    setting.refuses("tls_failed");
    control.end();
}

#[test]
fn a_server_that_speaks_another_protocol_is_refused() {
    if skipped() {
        return;
    }
    let setting = Setting::new();
    let control = Control::start(&setting.mesh.authority.issue_named(NAME), "http/1.1");
    setting.relay("127.0.0.1", control.address);
    setting.refuses("tls_failed");
    control.end();
}

#[test]
fn a_server_that_says_nothing_is_waited_for_in_vain() {
    if skipped() {
        return;
    }
    let setting = Setting::new();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    setting.relay("127.0.0.1", silent.local_addr().expect("an address"));
    setting.refuses("handshake_timeout");
}

#[test]
fn a_server_that_is_away_is_a_reset() {
    if skipped() {
        return;
    }
    let setting = Setting::new();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = gone.local_addr().expect("an address");
    drop(gone);
    setting.relay("127.0.0.1", address);
    setting.refuses("connect_failed");
}
