//! Successors, two nodes at once, leaving.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use ambit_intercept::{Interception, MAX_THREADS, detach};
use support::{Engine, Rig, ScratchPod, call, far, rules, run, settings, skipped};

/// An agent in a process of its own, which enrols the pod and says so; it ends by SIGKILL.
struct OtherProcess(Child);

impl OtherProcess {
    fn start(rig: &Rig, pod: &ScratchPod, name: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["as_another_process", "--exact", "--nocapture", "--ignored"])
            .env("AMBIT_TEST_NODE", &rig.node)
            .env("AMBIT_TEST_NETNS", &pod.network.netns)
            .env("AMBIT_TEST_NODE_NETNS", rig.node_netns())
            .env("AMBIT_TEST_UID", &*pod.network.uid)
            .env("AMBIT_TEST_NAME", name)
            .env("AMBIT_TEST_BYPASS", pod.network.bypass_inbound.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(
            lines.any(|line| line.unwrap().contains("captured")),
            "the other process did not capture"
        );
        Self(child)
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "the body of OtherProcess"]
fn as_another_process() {
    let Ok(node) = std::env::var("AMBIT_TEST_NODE") else {
        return;
    };
    let text = |name: &str| std::env::var(name).unwrap();
    let options = ambit_intercept::Options {
        node,
        bpffs: support::bpffs(),
        cgroup_root: support::cgroup_root(),
        pods_cgroup: None,
        node_netns: Some(text("AMBIT_TEST_NODE_NETNS").into()),
        host_proc: "/proc".into(),
        threads: 3,
    };
    let interception = Interception::open(options, std::sync::Arc::new(|_| ())).unwrap();
    let pod = ambit_intercept::PodNetwork {
        uid: text("AMBIT_TEST_UID").into(),
        netns: text("AMBIT_TEST_NETNS").into(),
        addresses: vec!["10.9.0.2".parse().unwrap(), "fd09::2".parse().unwrap()],
        probe_ports: vec![],
        guarded: false,
        bypass_inbound: text("AMBIT_TEST_BYPASS") == "true",
    };
    let name: &'static str = Box::leak(text("AMBIT_TEST_NAME").into_boxed_str());
    let _engine = Engine::start(interception.enrol(&pod).unwrap(), name);
    println!("captured");
    std::io::stdout().flush().unwrap();
    // Until killed, or until the parent is gone.
    let _ = std::io::stdin().lines().next();
}

#[test]
fn the_next_process_takes_over_after_sigkill_twice_in_a_row() {
    if skipped() {
        return;
    }
    let mut rig = Rig::new();
    let pod = rig.pod(2);
    for name in ["first-", "second-"] {
        let process = OtherProcess::start(&rig, &pod, name);
        assert!(far(&pod).starts_with(&format!("{name}outbound")), "{name}");
        process.kill();
        assert_eq!(
            call(&pod.name, "2001:db8:77::7".parse().unwrap(), 80),
            "error: ECONNREFUSED"
        );
    }
    let (interception, _tampering) = rig.open();
    assert_eq!(
        interception.adopted(),
        std::slice::from_ref(&pod.network.uid)
    );
    let captured = interception.enrol(&pod.network).unwrap();
    assert!(captured.adopted);
    let _engine = Engine::start(captured, "third-");
    assert!(interception.adopted().is_empty());
    assert!(far(&pod).starts_with("third-outbound"));
    assert_eq!(interception.health().missing, Vec::<String>::new());
}

#[test]
fn what_a_pod_takes_itself_it_takes_while_no_process_serves_and_under_the_next() {
    if skipped() {
        return;
    }
    let mut rig = Rig::new();
    let (mut pod, outside) = (rig.pod(2), rig.pod(3));
    pod.network.bypass_inbound = true;
    let _application = support::Application::start(&pod.netns, "[::]:8080", "application");
    let both = || {
        let ask = |address| call(&outside.name, address, 8080);
        [ask(pod.v4), ask(pod.v6)]
    };
    let process = OtherProcess::start(&rig, &pod, "first-");
    let mut answers = vec![both()];
    process.kill();
    answers.push(both());
    assert_eq!(far(&pod), "error: ECONNREFUSED");
    let (interception, _tampering) = rig.open();
    answers.push(both());
    let _engine = Engine::start(interception.enrol(&pod.network).unwrap(), "next-");
    answers.push(both());
    for answer in answers.iter().flatten() {
        assert!(answer.starts_with("application "), "{answers:?}");
    }
    assert!(far(&pod).starts_with("next-outbound"));
}

#[test]
fn after_an_orderly_end_connects_are_refused_at_once_until_the_next_process() {
    if skipped() {
        return;
    }
    let mut rig = Rig::new();
    let pod = rig.pod(2);
    let (interception, _tampering) = rig.open();
    let engine = Engine::start(interception.enrol(&pod.network).unwrap(), "");
    drop(engine);
    interception.close();
    for address in ["192.0.2.7", "2001:db8:77::7"] {
        let answer = call(&pod.name, address.parse().unwrap(), 80);
        assert_eq!(answer, "error: ECONNREFUSED", "{address}");
    }
    let (interception, _tampering) = rig.open();
    let _engine = Engine::start(interception.enrol(&pod.network).unwrap(), "next-");
    assert!(far(&pod).starts_with("next-outbound"));
}

#[test]
fn an_old_agents_orderly_end_refuses_nothing_while_its_successor_serves() {
    if skipped() {
        return;
    }
    let mut rig = Rig::new();
    let pod = rig.pod(2);
    let (old, _tampering) = rig.open();
    let _old = Engine::start(old.enrol(&pod.network).unwrap(), "old-");
    let (new, _tampering) = rig.open();
    let _new = Engine::start(new.enrol(&pod.network).unwrap(), "new-");
    old.close();
    assert!(far(&pod).starts_with("new-outbound"));
}

#[test]
fn detach_refuses_while_an_agent_of_the_node_runs() {
    if skipped() {
        return;
    }
    let mut rig = Rig::new();
    let pod = rig.pod(2);
    let agent = OtherProcess::start(&rig, &pod, "");
    let error = detach(
        &rig.node,
        &support::bpffs(),
        &support::cgroup_root(),
        std::path::Path::new("/proc"),
    )
    .unwrap_err();
    assert_eq!(error.code(), "intercept.agent_runs");
    assert!(far(&pod).starts_with("outbound"));
    agent.kill();
}

#[test]
fn a_namespace_that_took_anothers_path_is_told_and_not_taken_for_it() {
    if skipped() {
        return;
    }
    let mut rig = Rig::new();
    let pod = rig.pod(2);
    let (interception, _tampering) = rig.open();
    let _engine = Engine::start(interception.enrol(&pod.network).unwrap(), "");
    run(&format!(
        "ip netns delete {0} && ip netns add {0}",
        pod.name
    ));
    assert!(!interception.health().effective);
    let error = interception.update(&pod.network).unwrap_err();
    assert_eq!(error.code(), "intercept.invalid_pod");
}

#[test]
fn in_an_overlap_new_connections_reach_the_newest_and_the_old_ones_end_harms_nothing() {
    if skipped() {
        return;
    }
    let mut rig = Rig::new();
    let pod = rig.pod(2);
    let old = OtherProcess::start(&rig, &pod, "old-");
    let (interception, tampering) = rig.open();
    let _engine = Engine::start(interception.enrol(&pod.network).unwrap(), "new-");
    for _ in 0..20 {
        assert!(far(&pod).starts_with("new-outbound"));
    }
    old.kill();
    for _ in 0..20 {
        assert!(far(&pod).starts_with("new-outbound"));
    }
    assert!(interception.health().effective);
    assert!(tampering.try_recv().is_err());
}

#[test]
fn two_nodes_on_one_machine_do_not_meet() {
    if skipped() {
        return;
    }
    let (mut left, mut right) = (Rig::new(), Rig::new());
    let (left_pod, right_pod) = (left.pod(2), right.pod(2));
    let (left_interception, _l) = left.open();
    let (right_interception, _r) = right.open();
    let _left = Engine::start(left_interception.enrol(&left_pod.network).unwrap(), "left-");
    let _right = Engine::start(
        right_interception.enrol(&right_pod.network).unwrap(),
        "right-",
    );
    assert!(far(&left_pod).starts_with("left-outbound"));
    assert!(far(&right_pod).starts_with("right-outbound"));
    right_interception.close();
    detach(
        &right.node,
        &support::bpffs(),
        &support::cgroup_root(),
        std::path::Path::new("/proc"),
    )
    .unwrap();
    assert!(far(&left_pod).starts_with("left-outbound"));
    assert!(left_interception.health().effective);
}

#[test]
fn leaving_ends_capture_first_and_cleans_up_second() {
    if skipped() {
        return;
    }
    let mut rig = Rig::new();
    let (pod, other) = (rig.pod(2), rig.pod(3));
    let application = support::Application::start(&other.netns, "0.0.0.0:0", "direct");
    let (interception, _tampering) = rig.open();
    let engine = Engine::start(interception.enrol(&pod.network).unwrap(), "");
    assert!(call(&pod.name, other.v4, application.port).starts_with("outbound"));
    interception.withdraw(&pod.network.uid).unwrap();
    drop(engine);
    assert!(call(&pod.name, other.v4, application.port).starts_with("direct"));
    assert!(rules(&pod).contains("15001"));
    interception.release(&pod.network.uid).unwrap();
    assert!(!rules(&pod).contains("15001"), "{}", rules(&pod));
    assert_eq!(settings(&pod), "0 0 0");
}

#[test]
fn an_adopted_pod_can_leave_without_being_enrolled() {
    if skipped() {
        return;
    }
    let mut rig = Rig::new();
    let pod = rig.pod(2);
    OtherProcess::start(&rig, &pod, "old-").kill();
    let (interception, _tampering) = rig.open();
    interception.withdraw(&pod.network.uid).unwrap();
    interception.release(&pod.network.uid).unwrap();
    assert!(interception.adopted().is_empty());
    assert!(!rules(&pod).contains("15001"));
    assert_eq!(settings(&pod), "0 0 0");
}

#[test]
fn detach_removes_everything_and_says_so() {
    if skipped() {
        return;
    }
    let mut rig = Rig::new();
    let pod = rig.pod(2);
    OtherProcess::start(&rig, &pod, "old-").kill();
    let words = detach(
        &rig.node,
        &support::bpffs(),
        &support::cgroup_root(),
        std::path::Path::new("/proc"),
    )
    .unwrap();
    assert_eq!(words.len(), 9, "{words:?}");
    assert!(!rules(&pod).contains("15001"));
    assert_eq!(settings(&pod), "0 0 0");
    assert!(
        detach(
            &rig.node,
            &support::bpffs(),
            &support::cgroup_root(),
            std::path::Path::new("/proc")
        )
        .unwrap()
        .is_empty()
    );
}

#[test]
fn a_namespace_of_another_pod_is_refused() {
    if skipped() {
        return;
    }
    let mut rig = Rig::new();
    let (pod, other) = (rig.pod(2), rig.pod(3));
    let (interception, _tampering) = rig.open();
    let wrong = ambit_intercept::PodNetwork {
        netns: other.network.netns.clone(),
        ..pod.network.clone()
    };
    let error = interception.enrol(&wrong).unwrap_err();
    assert_eq!(error.code(), "intercept.invalid_pod");
    assert!(
        error.to_string().contains("10.9.0.2 is not an address"),
        "{error}"
    );
    assert!(!rules(&other).contains("15001"));
}

#[test]
fn changed_addresses_and_probe_ports_are_followed() {
    if skipped() {
        return;
    }
    let mut rig = Rig::new();
    let mut pod = rig.pod(2);
    let (interception, _tampering) = rig.open();
    let _engine = Engine::start(interception.enrol(&pod.network).unwrap(), "");
    let _probed = support::Application::start(&pod.netns, "0.0.0.0:8081", "probed");
    let node = format!("amb-{}-node", rig.id);
    assert!(call(&node, pod.v4, 8081).starts_with("plaintext"));
    run(&format!(
        "ip -n {} addr add 10.9.0.22/24 dev eth0",
        pod.name
    ));
    pod.network.addresses.push("10.9.0.22".parse().unwrap());
    pod.network.probe_ports = vec![8081];
    interception.update(&pod.network).unwrap();
    assert!(call(&node, pod.v4, 8081).starts_with("probed"));
    assert!(call(&pod.name, "10.9.0.22".parse().unwrap(), 8081).starts_with("probed"));
    pod.network.probe_ports.clear();
    interception.update(&pod.network).unwrap();
    assert!(call(&node, pod.v4, 8081).starts_with("plaintext"));
}

#[test]
fn wrong_surroundings_are_named() {
    if skipped() {
        return;
    }
    let rig = Rig::new();
    let open = |change: fn(&mut ambit_intercept::Options)| {
        let mut options = rig.options();
        change(&mut options);
        Interception::open(options, std::sync::Arc::new(|_| ()))
            .map(drop)
            .unwrap_err()
            .code()
    };
    assert_eq!(
        open(|options| options.bpffs = "/tmp".into()),
        "intercept.not_bpffs"
    );
    assert_eq!(
        open(|options| options.cgroup_root = "/tmp".into()),
        "intercept.not_cgroup_root"
    );
    assert_eq!(
        open(|options| options.threads = MAX_THREADS + 1),
        "intercept.invalid_option"
    );
    assert_eq!(
        open(|options| options.node_netns = Some("/dev/null/x".into())),
        "intercept.netns"
    );
}
