//! Whole engines on real namespaces and the real kernel: two nodes in one process, applications in processes of their own.

mod support;

use support::application::{Held, act_as_child};
use support::{Mesh, add_address, eventually, skipped};

/// Not a test: what this binary does when a test started it as an application.
#[test]
fn child() {
    act_as_child();
}

fn metric(mesh: &Mesh, node: usize, part: &str) -> f64 {
    let text = mesh.nodes[node].engine.metrics_text().expect("metrics");
    let lines = text
        .lines()
        .filter(|line| line.contains(part) && !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

fn refused(mesh: &Mesh, node: usize, reason: &str) -> f64 {
    metric(
        mesh,
        node,
        &format!("ambit_flows_refused_total{{reason=\"{reason}\"}}"),
    )
}

#[test]
fn another_node_is_reached_over_hbone_and_sees_the_client() {
    if skipped() {
        return;
    }
    let mut mesh = Mesh::new(2);
    let (client, server) = (mesh.pod(2, 0), mesh.pod(3, 1));
    let address = mesh.serve(server, 8080);
    assert_eq!(
        mesh.call(&mesh.netns(client), address),
        "hello from 10.9.0.2"
    );
    eventually("both reports", || {
        metric(&mesh, 0, "connection_security_policy=\"mutual_tls\"") > 0.0
            && metric(&mesh, 1, "connection_security_policy=\"mutual_tls\"") > 0.0
    });
}

#[test]
fn a_neighbour_is_joined_without_a_wire_and_sees_the_client() {
    if skipped() {
        return;
    }
    let mut mesh = Mesh::new(1);
    let (client, server) = (mesh.pod(2, 0), mesh.pod(3, 0));
    let address = mesh.serve(server, 8080);
    assert_eq!(
        mesh.call(&mesh.netns(client), address),
        "hello from 10.9.0.2"
    );
    eventually("the report", || {
        metric(&mesh, 0, "connection_security_policy=\"node_local\"") > 0.0
    });
}

#[test]
fn a_neighbour_is_reached_over_hbone_where_no_join_is_allowed() {
    if skipped() {
        return;
    }
    let mut mesh = Mesh::new(1);
    mesh.policy.lock().expect("policy").same_node_over_tls = true;
    let (client, server) = (mesh.pod(2, 0), mesh.pod(3, 0));
    let address = mesh.serve(server, 8080);
    assert_eq!(
        mesh.call(&mesh.netns(client), address),
        "hello from 10.9.0.2"
    );
    eventually("the report", || {
        metric(&mesh, 0, "connection_security_policy=\"mutual_tls\"") > 0.0
    });
}

#[test]
fn plaintext_from_outside_enters_where_policy_allows_it() {
    if skipped() {
        return;
    }
    let mut mesh = Mesh::new(1);
    let (outsider, server) = (mesh.outsider(9), mesh.pod(3, 0));
    let address = mesh.serve(server, 8080);
    assert_eq!(mesh.call(&outsider, address), "hello from 10.9.0.9");
}

#[test]
fn plaintext_from_outside_is_reset_where_policy_asks_for_an_identity() {
    if skipped() {
        return;
    }
    let mut mesh = Mesh::new(1);
    mesh.policy
        .lock()
        .expect("policy")
        .denied
        .push(String::new());
    let (outsider, server) = (mesh.outsider(9), mesh.pod(3, 0));
    let address = mesh.serve(server, 8080);
    assert_eq!(mesh.call(&outsider, address), "error ConnectionReset");
    eventually("the count", || refused(&mesh, 0, "policy_denied") > 0.0);
}

#[test]
fn an_identity_that_is_denied_is_reset_on_either_way() {
    if skipped() {
        return;
    }
    let mut mesh = Mesh::new(2);
    let (client, neighbour, remote) = (mesh.pod(2, 0), mesh.pod(3, 0), mesh.pod(4, 1));
    mesh.policy
        .lock()
        .expect("policy")
        .denied
        .push(mesh.pods[client].identity.to_string());
    let (near, far) = (mesh.serve(neighbour, 8080), mesh.serve(remote, 8080));
    assert_eq!(
        mesh.call(&mesh.netns(client), near),
        "error ConnectionReset"
    );
    assert_eq!(mesh.call(&mesh.netns(client), far), "error ConnectionReset");
}

#[test]
fn a_closed_port_is_reset_and_not_waited_for() {
    if skipped() {
        return;
    }
    let mut mesh = Mesh::new(2);
    let (client, server) = (mesh.pod(2, 0), mesh.pod(3, 1));
    let address = std::net::SocketAddr::new(mesh.pods[server].address, 4321);
    assert_eq!(
        mesh.call(&mesh.netns(client), address),
        "error ConnectionReset"
    );
    eventually("the count", || refused(&mesh, 1, "connect_failed") > 0.0);
}

#[test]
fn after_unenrol_the_pod_is_as_it_was() {
    if skipped() {
        return;
    }
    let mut mesh = Mesh::new(1);
    let (outsider, server) = (mesh.outsider(9), mesh.pod(3, 0));
    mesh.policy
        .lock()
        .expect("policy")
        .denied
        .push(String::new());
    let address = mesh.serve(server, 8080);
    mesh.nodes[0]
        .engine
        .unenrol(&mesh.pods[server].uid)
        .expect("unenrolled");
    assert_eq!(mesh.call(&outsider, address), "hello from 10.9.0.9");
    let released = mesh.nodes[0].released.clone();
    let uid = mesh.pods[server].uid.to_string();
    eventually("the release", || {
        released.lock().expect("released").contains(&uid)
    });
}

#[test]
fn an_open_join_outlives_the_un_enrolment_of_its_destination() {
    if skipped() {
        return;
    }
    let mut mesh = Mesh::new(1);
    let (client, server) = (mesh.pod(2, 0), mesh.pod(3, 0));
    let address = mesh.serve(server, 8080);
    let held = Held::start(&mesh.netns(client), address);
    let engine = mesh.nodes[0].engine.clone();
    let uid = mesh.pods[server].uid.clone();
    eventually("the join", || {
        !engine.flows(&uid, 0, 1).expect("flows").is_empty()
    });
    engine.unenrol(&uid).expect("unenrolled");
    let released = mesh.nodes[0].released.clone();
    assert!(released.lock().expect("released").is_empty());
    assert_eq!(held.end(), "hello from 10.9.0.2");
    eventually("the release", || {
        !released.lock().expect("released").is_empty()
    });
}

#[test]
fn an_address_that_is_not_the_pods_is_refused_and_never_goes_round() {
    if skipped() {
        return;
    }
    let mut mesh = Mesh::new(1);
    let (outsider, server) = (mesh.outsider(9), mesh.pod(3, 0));
    mesh.serve(server, 8080);
    add_address(&mesh.netns(server), "10.9.0.77/24");
    let foreign = "10.9.0.77:8080".parse().expect("an address");
    assert_eq!(mesh.call(&outsider, foreign), "error ConnectionReset");
    eventually("the count", || refused(&mesh, 0, "foreign_address") == 1.0);
}
