//! Pods that reach the control plane through the engine, which vouches for them.

mod support;

use std::net::SocketAddr;

use ambit_engine::api::{OutboundAction, OutboundVerdict, Relay};
use support::application::act_as_child;
use support::authority::Authority;
use support::control::Control;
use support::{Mesh, eventually, skipped};

const NAME: &str = "control.ambit-system.svc";
const CONTROL: [&str; 2] = ["10.96.0.10:15010", "[fd96::10]:15010"];

/// Not a test: what this binary does when a test started it as an application.
#[test]
fn child() {
    act_as_child();
}

/// A proxy whose connections to the control plane's addresses are relayed to a server.
struct Setting {
    mesh: Mesh,
    pod: usize,
}

impl Setting {
    fn new() -> Self {
        let mut mesh = Mesh::new(1);
        let pod = mesh.waypoint(2, 0);
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
        for control in CONTROL {
            let control = control.parse().expect("an address");
            policy.outbound.insert(control, verdict.clone());
        }
    }

    fn call(&self, control: &str) -> String {
        let netns = self.mesh.netns(self.pod);
        let control = control.parse().expect("an address");
        self.mesh.call_for_itself(&netns, control)
    }

    fn has_metric(&self, part: &str) -> bool {
        let text = self.mesh.nodes[0].engine.metrics_text().expect("metrics");
        text.lines()
            .any(|line| line.contains(part) && !line.ends_with(" 0"))
    }

    fn refuses(&self, reason: &str) {
        assert_eq!(self.call(CONTROL[0]), "error ConnectionReset");
        self.has_refused(reason);
    }

    fn has_refused(&self, reason: &str) {
        let counter = format!("ambit_flows_refused_total{{reason=\"{reason}\"}}");
        eventually(reason, || self.has_metric(&counter));
    }
}

#[test]
fn the_server_sees_the_pods_identity_and_the_pod_needs_none() {
    if skipped() {
        return;
    }
    for (host, asked) in ["127.0.0.1", "localhost"].into_iter().zip(CONTROL) {
        let setting = Setting::new();
        let control = Control::start(&setting.mesh.authority.issue_named(NAME), "h2");
        setting.relay(host, control.address);
        let identity = &setting.mesh.pods[setting.pod].identity;
        assert_eq!(
            setting.call(asked),
            format!("hello to {NAME} from {identity}")
        );
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

#[test]
fn what_a_proxy_dials_for_a_client_is_not_relayed() {
    if skipped() {
        return;
    }
    let setting = Setting::new();
    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    server.set_nonblocking(true).expect("a listener");
    setting.relay("127.0.0.1", server.local_addr().expect("an address"));
    let netns = setting.mesh.netns(setting.pod);
    for control in CONTROL {
        let heard = setting
            .mesh
            .call(&netns, control.parse().expect("an address"));
        assert_eq!(heard, "error ConnectionReset", "{control}");
    }
    setting.has_refused("not_the_proxys_own");
    assert!(server.accept().is_err());
}

#[test]
fn a_pod_that_is_no_proxy_is_not_relayed_whatever_its_sockets_say() {
    if skipped() {
        return;
    }
    let mut setting = Setting::new();
    setting.pod = setting.mesh.pod(3, 0);
    setting.relay("127.0.0.1", "127.0.0.1:9".parse().expect("an address"));
    setting.refuses("not_the_proxys_own");
}
