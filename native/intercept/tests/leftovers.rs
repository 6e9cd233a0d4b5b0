//! Nothing grows with the number of enrolments, and each is quick.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::process::Command;

use support::{PATIENCE, Rig, ScratchPod, counter, pins, rules, run, skipped};

/// What a leak would make grow.
fn holdings(rig: &Rig, pod: &ScratchPod) -> BTreeMap<&'static str, usize> {
    let folder = pins(rig);
    let entries = |map: &str| {
        let text = run(&format!(
            "bpftool -j map dump pinned {}",
            folder.join(map).display()
        ));
        text.matches("\"key\"").count()
    };
    BTreeMap::from([
        (
            "descriptors",
            std::fs::read_dir("/proc/self/fd").unwrap().count(),
        ),
        ("pods", entries("amb_pods")),
        ("probe ports", entries("amb_probe_ports")),
        ("quotas", entries("amb_quota")),
        (
            "pins",
            run(&format!("find {} | wc -l", folder.display()))
                .trim()
                .parse()
                .unwrap(),
        ),
        ("rules and routes", rules(pod).lines().count()),
    ])
}

/// Alone in its process's descriptor count only when run alone, so it runs as a child.
#[test]
fn a_thousand_rounds_leave_nothing() {
    if skipped() {
        return;
    }
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["a_thousand_rounds", "--exact", "--ignored", "--nocapture"])
        .env("AMBIT_TEST_ROUNDS", "1000")
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
#[ignore = "the body of a_thousand_rounds_leave_nothing"]
fn a_thousand_rounds() {
    let Ok(rounds) = std::env::var("AMBIT_TEST_ROUNDS") else {
        return;
    };
    let mut rig = Rig::new();
    let mut pod = rig.pod(2);
    pod.network.probe_ports = vec![8081];
    let (interception, tampering) = rig.open();
    // The watching thread opens its own namespace at its first visit; let it come before counting.
    let captured = interception.enrol(&pod.network).unwrap();
    run(&format!("ip -n {} rule del pref 1", pod.name));
    tampering.recv_timeout(PATIENCE).unwrap();
    drop(captured);
    interception.withdraw(&pod.network.uid).unwrap();
    let mut times = Vec::new();
    let mut round = || {
        let begin = std::time::Instant::now();
        let captured = interception.enrol(&pod.network).unwrap();
        times.push(begin.elapsed());
        drop(captured);
        interception.withdraw(&pod.network.uid).unwrap();
        interception.release(&pod.network.uid).unwrap();
    };
    round();
    let before = holdings(&rig, &pod);
    (0..rounds.parse::<u32>().unwrap()).for_each(|_| round());
    assert_eq!(holdings(&rig, &pod), before);
    times.sort();
    println!(
        "enrolment: median {:?}, p99 {:?}",
        times[times.len() / 2],
        times[times.len() * 99 / 100]
    );
    assert!(
        times[times.len() / 2] <= std::time::Duration::from_millis(5),
        "{:?}",
        times[times.len() / 2]
    );
    assert_eq!(counter(&interception, "captured"), 0);
}
