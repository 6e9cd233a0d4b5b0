//! Pods that take connections from outside themselves, on whole engines.

mod support;

use std::net::SocketAddr;

use support::application::act_as_child;
use support::{Mesh, add_address, eventually, listening, skipped};

/// Not a test: what this binary does when a test started it as an application.
#[test]
fn child() {
    act_as_child();
}

fn refused(mesh: &Mesh, reason: &str) -> f64 {
    let counter = format!("ambit_flows_refused_total{{reason=\"{reason}\"}} ");
    let text = mesh.nodes[0].engine.metrics_text().expect("metrics");
    let count = text.lines().find_map(|line| line.strip_prefix(&counter));
    count.map_or(0.0, |count| count.parse().expect("a number"))
}

#[test]
fn it_is_reached_plainly_from_outside_and_by_tunnels_from_the_mesh() {
    if skipped() {
        return;
    }
    let mut mesh = Mesh::new(2);
    let (outsider, gateway) = (mesh.outsider(9), mesh.gateway(3));
    let (neighbour, far) = (mesh.pod(4, 0), mesh.pod(5, 1));
    let there = mesh.serve(gateway, 8080);
    // Policy refuses plaintext; only the engine asks it.
    mesh.policy
        .lock()
        .expect("policy")
        .denied
        .push(String::new());
    assert_eq!(mesh.call(&outsider, there), "hello from 10.9.0.9");
    for (client, seen) in [(neighbour, "10.9.0.4"), (far, "10.9.0.5")] {
        let heard = mesh.call(&mesh.netns(client), there);
        assert_eq!(heard, format!("hello from {seen}"));
    }
    let tunnelled = ["reporter=\"destination\"", "security_policy=\"mutual_tls\""];
    eventually("the report of the tunnel", || {
        let text = mesh.nodes[0].engine.metrics_text().expect("metrics");
        text.lines()
            .any(|line| tunnelled.iter().all(|part| line.contains(part)))
    });
}

#[test]
fn the_engines_own_listeners_are_nobodys_way_in() {
    if skipped() {
        return;
    }
    let mut mesh = Mesh::new(1);
    let (outsider, gateway) = (mesh.outsider(9), mesh.gateway(3));
    add_address(&mesh.netns(gateway), "10.9.0.77/24");
    let ports = listening(&mesh.netns(gateway));
    assert_eq!(ports.len(), 3, "{ports:?}");
    let own = mesh.pods[gateway].address;
    for address in [own, "10.9.0.77".parse().expect("an address")] {
        for port in &ports {
            let heard = mesh.call(&outsider, SocketAddr::new(address, *port));
            // A reset, or what TLS has to say of a client that does not speak it.
            assert!(!heard.contains("hello"), "{heard}");
        }
    }
    let reasons = ["direct_connection", "self_call", "tls_failed"];
    let counts = || reasons.map(|reason| refused(&mesh, reason));
    eventually("the counts", || counts() == [2.0; 3]);
}
