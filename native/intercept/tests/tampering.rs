//! What somebody with power over a pod or the node undoes is noticed and put back.

#![allow(clippy::unwrap_used)]

mod support;

use ambit_intercept::Tampering;
use support::{Engine, PATIENCE, Rig, far, pins, run, skipped};

fn tampered(what: &str, expected: &str) {
    let mut rig = Rig::new();
    let pod = rig.pod(2);
    let (interception, tampering) = rig.open();
    let _engine = Engine::start(interception.enrol(&pod.network).unwrap(), "");
    run(&what.replace("POD", &pod.name));
    let told = tampering.recv_timeout(PATIENCE).unwrap();
    assert_eq!(
        told,
        Tampering {
            pod: Some(pod.network.uid.clone()),
            what: expected.to_owned(),
            restored: true
        }
    );
    assert!(far(&pod).starts_with("outbound"));
}

#[test]
fn a_deleted_rule_is_put_back() {
    if !skipped() {
        tampered("ip -n POD rule del pref 1", "rule");
    }
}

#[test]
fn a_deleted_ipv6_route_is_put_back() {
    if !skipped() {
        tampered("ip -n POD -6 route del table 15001 local default", "route");
    }
}

#[test]
fn a_replaced_route_is_put_back() {
    if !skipped() {
        tampered(
            "ip -n POD route replace table 15001 unreachable default",
            "route",
        );
    }
}

#[test]
fn loopback_taken_down_comes_up_again() {
    if !skipped() {
        tampered(
            "ip -n POD link set lo down",
            "the loopback interface is down",
        );
    }
}

/// As containerd does it: `lo` first, then the plugins by which we are told.
#[test]
fn loopback_taken_down_before_the_pod_is_let_go_is_nobodys_tampering() {
    if skipped() {
        return;
    }
    let mut rig = Rig::new();
    let (ending, staying) = (rig.pod(2), rig.pod(3));
    let (interception, tampering) = rig.open();
    let _engine = Engine::start(interception.enrol(&ending.network).unwrap(), "");
    let _other = Engine::start(interception.enrol(&staying.network).unwrap(), "");
    run(&format!("ip -n {} link set lo down", ending.name));
    interception.release(&ending.network.uid).unwrap();
    run(&format!("ip -n {} link set lo down", staying.name));
    let told = tampering.recv_timeout(PATIENCE).unwrap();
    assert_eq!(told.pod, Some(staying.network.uid.clone()));
    assert!(tampering.try_recv().is_err());
}

#[test]
fn a_changed_setting_is_put_back() {
    if !skipped() {
        tampered(
            "ip netns exec POD sysctl -qw net.ipv4.fwmark_reflect=0",
            "settings fwmark_reflect or tcp_fwmark_accept",
        );
    }
}

#[test]
fn a_removed_pin_is_put_back() {
    if skipped() {
        return;
    }
    let mut rig = Rig::new();
    let pod = rig.pod(2);
    let (interception, tampering) = rig.open();
    let _engine = Engine::start(interception.enrol(&pod.network).unwrap(), "");
    let folder = pins(&rig);
    std::fs::remove_file(folder.join("link_connect4")).unwrap();
    assert!(!interception.health().effective);
    let told = tampering.recv_timeout(PATIENCE).unwrap();
    assert_eq!(
        (told.what.as_str(), told.restored),
        ("link of amb_connect4 is not pinned", true)
    );
    assert!(interception.health().effective);
}

#[test]
fn a_detached_program_is_attached_again() {
    if skipped() {
        return;
    }
    let mut rig = Rig::new();
    let pod = rig.pod(2);
    let (interception, tampering) = rig.open();
    let _engine = Engine::start(interception.enrol(&pod.network).unwrap(), "");
    let folder = pins(&rig);
    run(&format!(
        "bpftool link detach pinned {}",
        folder.join("link_connect4").display()
    ));
    let told = tampering.recv_timeout(PATIENCE).unwrap();
    assert_eq!(
        (told.what.as_str(), told.restored),
        ("link of amb_connect4 is detached", true)
    );
    assert!(far(&pod).starts_with("outbound"));
}
