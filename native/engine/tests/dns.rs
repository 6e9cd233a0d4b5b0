//! Name queries through a whole engine: real resolvers on the link, clients of the usual kinds in a pod.

mod support;

use std::net::IpAddr;
use std::process::{Child, Command, Stdio};

use ambit_engine::api::{NameRecord, OutboundAction, OutboundVerdict};
use support::{Mesh, destroy_udp_sockets, eventually, skipped};

/// A resolver: `NAME answer TTL`, with ways to misbehave by the name that is asked; and its clients.
const PROGRAM: &str = include_str!("support/dns.py");

fn record(name: &str, addresses: &[&str]) -> NameRecord {
    let addresses: Result<Vec<IpAddr>, _> = addresses.iter().map(|text| text.parse()).collect();
    NameRecord {
        key: format!("default/{name}").into(),
        name: name.into(),
        namespace: "default".into(),
        public: true,
        canonical: true,
        addresses: addresses.expect("addresses"),
        ttl: 30,
    }
}

/// A process that answers in a namespace.
struct Resolver(Child);

impl Resolver {
    fn start(netns: &str, addresses: &[&str]) -> Self {
        let mut command = python(netns, &[&["serve"], addresses].concat());
        let child = command.stdout(Stdio::piped()).spawn();
        let mut resolver = Resolver(child.expect("python3 is installed"));
        let output = resolver.0.stdout.as_mut().expect("piped");
        std::io::Read::read_exact(output, &mut [0; 6]).expect("the resolver begins");
        resolver
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Scene {
    mesh: Mesh,
    _resolver: Resolver,
    pod: usize,
}

impl Scene {
    fn new(nodes: usize) -> Self {
        let mut mesh = Mesh::new(nodes);
        let resolvers = mesh.outsider(53);
        let resolver = Resolver::start(&resolvers, &[]);
        let pod = mesh.named_pod(2);
        for resolver in ["10.9.0.53:53", "10.9.0.77:53"] {
            tell(&mesh, resolver, outside());
        }
        let engine = &mesh.nodes[0].engine;
        let names = vec![
            record(
                "reviews.default.svc.cluster.local",
                &["10.96.0.7", "fd96::7"],
            ),
            record("four.default.svc.cluster.local", &["10.96.0.8"]),
            record("*.example.com", &["240.240.0.9"]),
            record("home.example.org", &["127.0.0.1"]),
            NameRecord {
                addresses: (0..300u16)
                    .map(|last| [10, 97, (last >> 8) as u8, last as u8].into())
                    .collect(),
                ..record("many.default.svc.cluster.local", &[])
            },
        ];
        engine.set_names(names).expect("it runs");
        Scene {
            mesh,
            _resolver: resolver,
            pod,
        }
    }

    fn ask(&self, arguments: &[&str]) -> String {
        let netns = self.mesh.netns(self.pod);
        let output = python(&netns, arguments).output().expect("python3");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn metric(&self, part: &str) -> f64 {
        let text = self.mesh.nodes[0].engine.metrics_text().expect("metrics");
        let lines = text.lines().filter(|line| line.contains(part));
        lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }
}

fn python(netns: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", netns, "python3", "-uc", PROGRAM])
        .args(arguments);
    command
}

fn tell(mesh: &Mesh, destination: &str, verdict: OutboundVerdict) {
    let destination = destination.parse().expect("an address");
    let mut policy = mesh.policy.lock().expect("policy");
    policy.outbound.insert(destination, verdict);
}

/// Of what nobody in the mesh has.
fn outside() -> OutboundVerdict {
    OutboundVerdict {
        action: OutboundAction::Passthrough { workload: None },
        service: None,
    }
}

macro_rules! scene {
    ($name:ident) => {
        scene!($name, 1);
    };
    ($name:ident, $nodes:expr) => {
        if skipped() {
            return;
        }
        #[allow(unused_mut)]
        let mut $name = Scene::new($nodes);
    };
}

#[test]
fn names_of_the_mesh_are_answered_over_udp_and_tcp_and_both_families() {
    scene!(it);
    for way in ["udp", "connected", "udp6", "mapped", "tcp"] {
        let ask = |name, kind| it.ask(&[way, name, kind]);
        assert_eq!(
            ask("Reviews.default.svc.cluster.local", "A"),
            "NOERROR aa 10.96.0.7",
            "{way}"
        );
        assert_eq!(
            ask("reviews.default.svc.cluster.local", "AAAA"),
            "NOERROR aa fd96::7"
        );
        assert_eq!(ask("w.example.com", "A"), "NOERROR aa 240.240.0.9");
    }
    assert_eq!(it.metric("istio_dns_upstream_requests_total"), 0.0);
    assert_eq!(
        it.metric("istio_dns_requests_total{request_query_type=\"A\",request_protocol=\"udp\""),
        8.0
    );
}

#[test]
fn the_system_library_finds_names_with_the_pods_own_search_domains() {
    scene!(it);
    assert_eq!(it.ask(&["library", "reviews"]), "10.96.0.7 fd96::7");
    assert_eq!(it.ask(&["library", "outside.test"]), "198.51.100.4");
}

#[test]
fn what_the_mesh_does_not_know_is_forwarded_as_it_is() {
    scene!(it);
    for way in ["udp", "connected", "udp6", "mapped", "tcp"] {
        assert_eq!(
            it.ask(&[way, "outside.test", "A"]),
            "NOERROR 198.51.100.4",
            "{way}"
        );
        assert_eq!(it.ask(&[way, "gone.test", "A"]), "NXDOMAIN", "{way}");
    }
    // Types that the mesh has nothing of, also of names that it knows.
    assert_eq!(
        it.ask(&["udp", "reviews.default.svc.cluster.local", "SRV"]),
        "NOERROR 198.51.100.4"
    );
    assert_eq!(it.metric("istio_dns_upstream_failures_total"), 0.0);
}

#[test]
fn a_known_name_without_such_a_record_is_no_error_and_never_leads_past_the_mesh() {
    scene!(it);
    let name = "four.default.svc.cluster.local";
    assert_eq!(it.ask(&["udp", name, "AAAA"]), "NOERROR aa");
    assert_eq!(it.ask(&["udp", name, "HTTPS"]), "NOERROR aa");
    assert_eq!(it.ask(&["udp", "home.example.org", "A"]), "NOERROR aa");
}

#[test]
fn the_host_of_a_chosen_address_is_told_and_others_are_the_resolvers_to_tell() {
    scene!(it);
    let api = record(
        "api.example.com",
        &["240.240.0.1", "2001:2::1", "10.96.0.1"],
    );
    let engine = &it.mesh.nodes[0].engine;
    engine.set_names(vec![api]).expect("it runs");
    let six = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.0.1.0.0.2.ip6.arpa";
    for name in ["1.0.240.240.in-addr.arpa", six] {
        for way in ["udp", "tcp"] {
            let told = it.ask(&[way, name, "PTR"]);
            assert_eq!(told, "NOERROR aa api.example.com", "{way} {name}");
        }
    }
    let others = ["9.0.240.240.in-addr.arpa", "1.0.96.10.in-addr.arpa"];
    for name in others {
        let told = it.ask(&["udp", name, "PTR"]);
        assert_eq!(told, "NOERROR 198.51.100.4", "{name}");
    }
}

#[test]
fn a_long_answer_is_cut_over_udp_and_whole_over_tcp() {
    scene!(it);
    let name = "many.default.svc.cluster.local";
    let cut = it.ask(&["udp", name, "A"]);
    assert!(cut.starts_with("NOERROR aa tc "), "{cut}");
    let whole = it.ask(&["tcp", name, "A"]);
    assert_eq!(whole.split(' ').count(), 302, "{whole}");
}

#[test]
fn forged_replies_are_not_passed_on() {
    scene!(it);
    // Wrong ids and questions come first, from the right address and port.
    assert_eq!(it.ask(&["udp", "forged.test", "A"]), "NOERROR 198.51.100.4");
    assert_eq!(it.metric("reason=\"foreign_reply\""), 3.0);
    // From the right address but another port: the kernel keeps them away.
    assert_eq!(
        it.ask(&["udp", "otherport.test", "A"]),
        "NOERROR 198.51.100.4"
    );
    assert_eq!(it.metric("reason=\"foreign_reply\""), 3.0);
}

#[test]
fn an_oversized_reply_sends_the_client_to_tcp() {
    scene!(it);
    assert_eq!(it.ask(&["udp", "huge.test", "A"]), "NOERROR tc");
    assert_eq!(it.metric("reason=\"oversized_reply\""), 1.0);
}

#[test]
fn a_lost_reply_is_asked_for_again_and_a_silent_resolver_is_told_in_time() {
    scene!(it);
    assert_eq!(it.ask(&["udp", "lost.test", "A"]), "NOERROR 198.51.100.4");
    let begun = std::time::Instant::now();
    assert_eq!(it.ask(&["udp", "silent.test", "A"]), "SERVFAIL");
    assert!(begun.elapsed().as_secs() < 8);
    assert_eq!(it.metric("istio_dns_upstream_failures_total"), 1.0);
}

#[test]
fn a_resolver_that_is_not_there_is_told_at_once() {
    scene!(it);
    let begun = std::time::Instant::now();
    assert_eq!(it.ask(&["udp@10.9.0.77", "x.test", "A"]), "SERVFAIL");
    assert_eq!(it.ask(&["tcp@10.9.0.77", "x.test", "A"]), "SERVFAIL");
    assert!(begun.elapsed().as_secs() < 12);
}

#[test]
fn rubbish_is_told_so_and_harms_nobody() {
    scene!(it);
    assert_eq!(it.ask(&["rubbish"]), "FORMERR NOERROR aa 10.96.0.7");
}

#[test]
fn one_connection_carries_both_kinds_of_names_and_a_transfer() {
    scene!(it);
    assert_eq!(
        it.ask(&["pipeline"]),
        "10.96.0.7 198.51.100.4 240.240.0.9 198.51.100.4 198.51.100.4 198.51.100.4"
    );
}

#[test]
fn a_flood_of_unanswered_queries_ends_in_refusals_and_leaves_the_mesh_names_answered() {
    scene!(it);
    assert_eq!(it.ask(&["flood"]), "88 10.96.0.7");
    assert_eq!(it.metric("reason=\"too_many_queries\""), 88.0);
}

#[test]
fn capture_follows_the_pods_setting_and_ends_with_the_engine() {
    scene!(it);
    let name = "reviews.default.svc.cluster.local";
    let asked = || it.ask(&["udp", name, "A"]);
    assert_eq!(asked(), "NOERROR aa 10.96.0.7");
    it.mesh.set_dns(it.pod, false);
    assert_eq!(asked(), "NOERROR 198.51.100.4");
    it.mesh.set_dns(it.pod, true);
    assert_eq!(asked(), "NOERROR aa 10.96.0.7");
    it.mesh.nodes[0].engine.stop().expect("it stops");
    assert_eq!(asked(), "NOERROR 198.51.100.4");
    assert_eq!(it.ask(&["tcp", name, "A"]), "NOERROR 198.51.100.4");
}

#[test]
fn a_resolver_of_the_mesh_is_reached_over_tcp_as_everything_else_of_it() {
    scene!(it, 2);
    // Plaintext is refused: only a pod that shows who it is hears anything.
    it.mesh
        .policy
        .lock()
        .expect("policy")
        .denied
        .push(String::new());
    for (host, node) in [(7, 0), (8, 1)] {
        let pod = it.mesh.pod(host, node);
        let four = format!("10.9.0.{host}");
        let six = format!("fd09::{host}");
        let _resolver = Resolver::start(&it.mesh.netns(pod), &[&four, &six]);
        let heard = it.ask(&[&format!("tcp@{four}"), "outside.test", "A"]);
        assert_eq!(heard, "NOERROR 198.51.100.4", "node {node}");
    }
}

#[test]
fn a_resolver_that_the_pod_may_not_reach_is_told_and_counted() {
    scene!(it);
    let verdict = OutboundVerdict {
        action: OutboundAction::Deny {
            reason: "not_in_registry".into(),
        },
        service: None,
    };
    tell(&it.mesh, "10.9.0.53:53", verdict);
    assert_eq!(it.ask(&["tcp", "outside.test", "A"]), "SERVFAIL");
    let name = "reviews.default.svc.cluster.local";
    assert_eq!(it.ask(&["tcp", name, "A"]), "NOERROR aa 10.96.0.7");
    assert_eq!(
        it.metric("ambit_flows_refused_total{reason=\"denied\"}"),
        1.0
    );
    assert_eq!(it.metric("istio_dns_upstream_failures_total"), 1.0);
}

#[test]
fn capture_comes_back_after_its_socket_has_failed() {
    scene!(it);
    let name = "reviews.default.svc.cluster.local";
    let asked = || it.ask(&["udp", name, "A"]);
    assert_eq!(asked(), "NOERROR aa 10.96.0.7");
    destroy_udp_sockets(&it.mesh.netns(it.pod));
    eventually("the loss is counted", || {
        it.metric("ambit_dns_captures_lost_total") == 1.0
    });
    // Nobody's queries are lost meanwhile.
    assert!(asked().starts_with("NOERROR "));
    eventually("the capture is back", || asked() == "NOERROR aa 10.96.0.7");
    it.mesh.set_dns(it.pod, false);
    assert_eq!(asked(), "NOERROR 198.51.100.4");
}

#[test]
fn another_identity_of_a_pod_sees_the_names_of_its_namespace() {
    scene!(it);
    let hidden = NameRecord {
        public: false,
        ..record("api.example.net", &["240.240.0.3"])
    };
    let engine = &it.mesh.nodes[0].engine;
    engine.set_names(vec![hidden]).expect("it runs");
    assert_eq!(
        it.ask(&["udp", "api.example.net", "A"]),
        "NOERROR aa 240.240.0.3"
    );
    engine
        .remove_names(&["default/api.example.net".into()])
        .expect("it runs");
    eventually("the name is forgotten", || {
        it.ask(&["udp", "api.example.net", "A"]) == "NOERROR 198.51.100.4"
    });
}
