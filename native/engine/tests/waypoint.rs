//! The way through a waypoint, on whole engines: asked for what is not its own, a pod is handed the connection.

mod support;

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use ambit_engine::api::{
    Endpoint, OutboundAction, OutboundVerdict, Protocol, ServiceDescriptor, WorkloadDescriptor,
};
use ambit_engine::error::{EngineError, ErrorCode};
use support::answers::connect;
use support::application::{Held, act_as_child};
use support::{Mesh, Pod, endpoint, eventually, skipped};

const VIP: &str = "10.96.0.1:80";
const VIP_V6: &str = "[fd96::1]:80";
const HANDOVER: u16 = 15_088;

/// Not a test: what this binary does when a test started it as an application.
#[test]
fn child() {
    act_as_child();
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// A client, and a waypoint that stands before the virtual addresses.
struct Setting {
    mesh: Mesh,
    client: usize,
    waypoint: usize,
}

impl Setting {
    fn new(client_node: usize, waypoint_node: usize) -> Self {
        let mut mesh = Mesh::new(1 + client_node.max(waypoint_node));
        let client = mesh.pod(2, client_node);
        let waypoint = mesh.waypoint(3, waypoint_node);
        let setting = Setting {
            mesh,
            client,
            waypoint,
        };
        for vip in [VIP, VIP_V6] {
            setting.lead(vip, &setting.pod().address.to_string());
            setting.hand_over(vip, HANDOVER);
        }
        setting
    }

    fn pod(&self) -> &Pod {
        &self.mesh.pods[self.waypoint]
    }

    /// Whoever asks for an address is told to go to the waypoints of a set.
    fn lead(&self, destination: &str, endpoint_set: &str) {
        let mut verdict = connect(endpoint_set, true);
        if let OutboundAction::Connect { authority, .. } = &mut verdict.action {
            *authority = Some(address(destination));
        }
        verdict.service = Some("shop/web.shop".into());
        self.tell(destination, verdict);
    }

    fn tell(&self, destination: &str, verdict: OutboundVerdict) {
        let mut policy = self.mesh.policy.lock().expect("policy");
        policy.outbound.insert(address(destination), verdict);
    }

    fn hand_over(&self, destination: &str, port: u16) {
        let mut policy = self.mesh.policy.lock().expect("policy");
        policy.handover.insert(address(destination).ip(), port);
    }

    fn call(&self, destination: &str) -> String {
        let netns = self.mesh.netns(self.client);
        self.mesh.call(&netns, address(destination))
    }

    fn metric(&self, node: usize, parts: &[&str]) -> f64 {
        let text = self.mesh.nodes[node].engine.metrics_text();
        let text = text.expect("metrics");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .filter(|line| parts.iter().all(|part| line.contains(part)))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// The client meets a reset, and the node counts why.
    fn refuses(&self, destination: &str, node: usize, reason: &str) {
        let counter = format!("ambit_flows_refused_total{{reason=\"{reason}\"}}");
        let before = self.metric(node, &[&counter]);
        assert_eq!(self.call(destination), "error ConnectionReset");
        eventually(reason, || self.metric(node, &[&counter]) > before);
    }
}

const TOLD: &str = "d0=spiffe://cluster.local/ns/default/sa/p2 e3=default e6=p2";

#[test]
fn a_waypoint_of_another_node_is_told_the_client_and_what_it_asked_for() {
    if skipped() {
        return;
    }
    let setting = Setting::new(0, 1);
    let expected = format!("hello from 10.9.0.2 to {VIP} {TOLD} e8=mutual_tls");
    assert_eq!(setting.call(VIP), expected);
}

#[test]
fn of_ends_of_two_families_the_proxy_is_told_both() {
    if skipped() {
        return;
    }
    let setting = Setting::new(0, 1);
    let expected = format!("hello from ::ffff:10.9.0.2 to {VIP_V6} {TOLD} e8=mutual_tls");
    assert_eq!(setting.call(VIP_V6), expected);
}

#[test]
fn a_waypoint_of_the_same_node_is_told_the_same_without_a_wire() {
    if skipped() {
        return;
    }
    let setting = Setting::new(0, 0);
    let expected = format!("hello from 10.9.0.2 to {VIP} {TOLD} e8=node_local");
    assert_eq!(setting.call(VIP), expected);
    let expected = format!("hello from fd09::2 to {VIP_V6} {TOLD} e8=node_local");
    assert_eq!(setting.call(VIP_V6), expected);
    let local = "connection_security_policy=\"node_local\"";
    eventually("the report", || setting.metric(0, &[local]) > 0.0);
}

#[test]
fn what_is_known_of_the_client_is_told_too() {
    if skipped() {
        return;
    }
    let setting = Setting::new(0, 0);
    let client = &setting.mesh.pods[setting.client];
    let workload = WorkloadDescriptor {
        uid: client.uid.clone(),
        workload: "web".into(),
        version: "v2".into(),
        ..WorkloadDescriptor::default()
    };
    let engine = &setting.mesh.nodes[0].engine;
    engine.set_workloads(vec![workload]).expect("told");
    let heard = setting.call(VIP);
    assert!(heard.contains(&format!("e0={}", client.uid)), "{heard}");
    assert!(heard.ends_with("e4=web e7=version=v2 ea=v2"), "{heard}");
}

#[test]
fn the_service_is_reported_and_the_connection_is_that_to_the_waypoint() {
    if skipped() {
        return;
    }
    let setting = Setting::new(0, 1);
    let service = ServiceDescriptor {
        key: "shop/web.shop".into(),
        hostname: "web.shop".into(),
        name: "web".into(),
        namespace: "shop".into(),
    };
    let engine = &setting.mesh.nodes[0].engine;
    engine.set_services(vec![service]).expect("told");
    let held = Held::start(&setting.mesh.netns(setting.client), address(VIP));
    let uid = &setting.mesh.pods[setting.client].uid;
    let open = || engine.flows(uid, 0, 1).expect("flows");
    eventually("the flow", || !open().is_empty());
    let flow = open().remove(0);
    assert_eq!(flow.original_destination, address(VIP));
    assert_eq!(flow.actual_destination, address("10.9.0.3:15008"));
    assert!(held.end().starts_with("hello "));
    let parts = [
        "reporter=\"source\"",
        "destination_service=\"web.shop\"",
        "connection_security_policy=\"mutual_tls\"",
    ];
    eventually("the report", || setting.metric(0, &parts) > 0.0);
}

#[test]
fn an_endpoints_own_authority_comes_before_that_of_the_answer() {
    if skipped() {
        return;
    }
    let setting = Setting::new(0, 1);
    let behind = "10.9.0.77:8080";
    let waypoint = Endpoint {
        authority: Some(address(behind)),
        ..endpoint(setting.pod())
    };
    setting.mesh.nodes[0].offer("workloads", waypoint);
    setting.lead(VIP, "workloads");
    setting.hand_over(behind, HANDOVER);
    let heard = setting.call(VIP);
    assert!(heard.contains(&format!(" to {behind} ")), "{heard}");
}

#[test]
fn a_waypoint_is_reached_by_its_own_address_as_any_pod() {
    if skipped() {
        return;
    }
    let mut setting = Setting::new(0, 1);
    let own = setting.mesh.serve(setting.waypoint, 8080);
    let netns = setting.mesh.netns(setting.client);
    assert_eq!(setting.mesh.call(&netns, own), "hello from 10.9.0.2");
}

#[test]
fn a_pod_that_is_no_waypoint_takes_nothing_for_others() {
    if skipped() {
        return;
    }
    for (node, reason) in [(0, "foreign_address"), (1, "foreign_authority")] {
        let mut setting = Setting::new(0, node);
        let other = setting.mesh.pod(4, node);
        let id = setting.mesh.pods[other].address.to_string();
        setting.lead(VIP, &id);
        setting.refuses(VIP, node, reason);
    }
}

#[test]
fn leave_to_enter_without_a_hand_over_leads_nowhere() {
    if skipped() {
        return;
    }
    for node in [0, 1] {
        let setting = Setting::new(0, node);
        setting.mesh.policy.lock().expect("policy").handover.clear();
        setting.refuses(VIP, node, "foreign_address");
    }
}

#[test]
fn a_port_that_nothing_guards_is_handed_nothing() {
    if skipped() {
        return;
    }
    let mut setting = Setting::new(0, 1);
    for (vip, port) in [(VIP, 8080), (VIP_V6, 15_000)] {
        setting.mesh.serve(setting.waypoint, port);
        setting.hand_over(vip, port);
        setting.refuses(vip, 1, "unguarded");
    }
}

#[test]
fn its_own_process_alone_connects_to_a_waypoints_guarded_loopback() {
    if skipped() {
        return;
    }
    let setting = Setting::new(0, 1);
    let engine = &setting.mesh.nodes[1].engine;
    let socket = engine.connect_to_pod(&setting.pod().uid, HANDOVER);
    let mut stream = TcpStream::from(socket.expect("a connection"));
    let header = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &[0; 12]].concat();
    stream.write_all(&header).expect("told");
    stream.shutdown(Shutdown::Write).expect("an end");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.ends_with("from 0.0.0.0 to 0.0.0.0:0"), "{answer}");
}

#[test]
fn a_loopback_is_not_reached_where_nobody_listens_or_no_pod_is() {
    if skipped() {
        return;
    }
    let setting = Setting::new(0, 1);
    let [here, there] = [0, 1].map(|node| &setting.mesh.nodes[node].engine);
    let uid = &setting.pod().uid;
    let code = |outcome: Result<_, EngineError>| outcome.map(drop).expect_err("refused").code;
    assert_eq!(code(there.connect_to_pod(uid, 15_000)), ErrorCode::Io);
    assert_eq!(
        code(here.connect_to_pod(uid, HANDOVER)),
        ErrorCode::UnknownPod
    );
}

#[test]
fn a_denied_client_is_not_handed_over() {
    if skipped() {
        return;
    }
    let setting = Setting::new(0, 1);
    let denied = setting.mesh.pods[setting.client].identity.to_string();
    let policy = &setting.mesh.policy;
    policy.lock().expect("policy").denied.push(denied);
    setting.refuses(VIP, 1, "policy_denied");
}

#[test]
fn the_guarded_ports_are_not_for_peers_either() {
    if skipped() {
        return;
    }
    for node in [0, 1] {
        let mut setting = Setting::new(0, node);
        let netns = setting.mesh.netns(setting.waypoint);
        setting.mesh.start(&netns, "serve 15000");
        for port in [15_000, HANDOVER] {
            let own = format!("{}:{port}", setting.pod().address);
            setting.refuses(&own, node, "self_call");
        }
    }
}

#[test]
fn loopback_behind_a_waypoint_is_nobodys() {
    if skipped() {
        return;
    }
    let setting = Setting::new(0, 1);
    let targets = ["127.0.0.1:15000", "[::1]:15088", "0.0.0.0:15088"];
    for (index, target) in targets.into_iter().enumerate() {
        let waypoint = Endpoint {
            authority: Some(address(target)),
            ..endpoint(setting.pod())
        };
        setting.mesh.nodes[0].offer(target, waypoint);
        setting.hand_over(target, HANDOVER);
        let destination = format!("10.96.0.2:{index}1");
        setting.lead(&destination, target);
        setting.refuses(&destination, 1, "foreign_address");
    }
}

/// The engine's own connections pass the guard, so the pod's proxy must not be able to have it make them.
#[test]
fn an_endpoint_on_loopback_is_refused() {
    if skipped() {
        return;
    }
    for loopback in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::"] {
        let mut setting = Setting::new(0, 0);
        setting.client = setting.waypoint;
        let external = Endpoint {
            pod_uid: None,
            address: loopback.parse::<IpAddr>().expect("an address"),
            port: HANDOVER,
            protocol: Protocol::Tcp,
            identities: Arc::from([]),
            ..endpoint(setting.pod())
        };
        setting.mesh.nodes[0].offer("external", external);
        setting.tell(VIP, connect("external", true));
        setting.refuses(VIP, 0, "unsafe_endpoint");
    }
}

#[test]
fn an_endpoint_that_is_the_waypoints_own_guarded_port_is_refused() {
    if skipped() {
        return;
    }
    for protocol in [Protocol::Tcp, Protocol::Hbone] {
        let mut setting = Setting::new(0, 0);
        setting.client = setting.waypoint;
        let itself = Endpoint {
            port: HANDOVER,
            protocol,
            local: true,
            ..endpoint(setting.pod())
        };
        setting.mesh.nodes[0].offer("itself", itself);
        setting.tell(VIP, connect("itself", true));
        setting.refuses(VIP, 0, "self_call");
    }
}

#[test]
fn a_waypoint_does_not_go_through_itself() {
    if skipped() {
        return;
    }
    let mut setting = Setting::new(0, 0);
    setting.client = setting.waypoint;
    setting.refuses(VIP, 0, "self_call");
}

#[test]
fn a_waypoint_without_hbone_is_not_asked_in_the_clear() {
    if skipped() {
        return;
    }
    let setting = Setting::new(0, 1);
    let plain = Endpoint {
        protocol: Protocol::Tcp,
        ..endpoint(setting.pod())
    };
    setting.mesh.nodes[0].offer("plain", plain);
    setting.lead(VIP, "plain");
    setting.refuses(VIP, 0, "no_endpoint");
}

#[test]
fn a_waypoint_whose_proxy_is_away_is_a_reset() {
    if skipped() {
        return;
    }
    let mut setting = Setting::new(0, 1);
    setting.mesh.end_applications();
    setting.refuses(VIP, 1, "connect_failed");
}
