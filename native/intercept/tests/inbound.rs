//! What reaches a captured pod from outside, and how the engine reaches the pod's application.

#![allow(clippy::unwrap_used)]

mod support;

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;

use ambit_intercept::sockets::{self, PortRing};
use support::{Application, Engine, Rig, ScratchPod, call, counter, line, python, skipped};

/// Dials as the engine does: the first port of `candidates` that is free.
fn dial(
    pod: &ScratchPod,
    source: IpAddr,
    target: SocketAddr,
    own: Option<u16>,
) -> std::io::Result<TcpStream> {
    let ring = PortRing::default();
    let mut last = std::io::ErrorKind::AddrInUse.into();
    for port in ring.candidates(own, 8) {
        let connected = sockets::transparent_socket(&pod.netns, source, port, 1 << 27).and_then(
            |socket: OwnedFd| {
                let stream = TcpStream::from(socket);
                stream.set_nonblocking(false)?;
                stream.set_read_timeout(Some(support::PATIENCE))?;
                sockets::connect(&stream, target)?;
                Ok(stream)
            },
        );
        match connected {
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::AddrInUse | std::io::ErrorKind::AddrNotAvailable
                ) =>
            {
                last = error;
            }
            other => return other,
        }
    }
    Err(last)
}

#[test]
fn plaintext_from_outside_goes_to_the_plaintext_listener() {
    if skipped() {
        return;
    }
    let mut rig = Rig::new();
    let (pod, outside) = (rig.pod(2), rig.pod(3));
    let (interception, _tampering) = rig.open();
    let _engine = Engine::start(interception.enrol(&pod.network).unwrap(), "");
    let _application = Application::start(&pod.netns, "[::]:8080", "application");
    let four = call(&outside.name, pod.v4, 8080);
    assert!(
        four.starts_with("plaintext 10.9.0.3:") && four.ends_with("10.9.0.2:8080"),
        "{four}"
    );
    let six = call(&outside.name, pod.v6, 8080);
    assert!(
        six.starts_with("plaintext [fd09::3]:") && six.ends_with("[fd09::2]:8080"),
        "{six}"
    );
    assert_eq!(counter(&interception, "lookup_plaintext"), 2);
}

#[test]
fn port_15008_from_outside_is_always_hbone() {
    if skipped() {
        return;
    }
    let mut rig = Rig::new();
    let (pod, outside) = (rig.pod(2), rig.pod(3));
    let (interception, _tampering) = rig.open();
    let _engine = Engine::start(interception.enrol(&pod.network).unwrap(), "");
    let _application = Application::start(&pod.netns, "[::]:15008", "application");
    assert!(call(&outside.name, pod.v4, 15008).starts_with("hbone "));
    assert!(call(&outside.name, pod.v6, 15008).starts_with("hbone "));
    assert!(call(&pod.name, pod.v4, 15008).starts_with("application "));
    drop(interception);
}

#[test]
fn a_pod_may_bind_15001_and_15006_itself() {
    if skipped() {
        return;
    }
    let mut rig = Rig::new();
    let (pod, outside) = (rig.pod(2), rig.pod(3));
    let (interception, _tampering) = rig.open();
    let _engine = Engine::start(interception.enrol(&pod.network).unwrap(), "");
    for port in [15001, 15006] {
        let _application =
            Application::start(&pod.netns, &format!("0.0.0.0:{port}"), "application");
        assert!(call(&pod.name, pod.v4, port).starts_with("application "));
        assert!(call(&outside.name, pod.v4, port).starts_with("plaintext "));
    }
    drop(interception);
}

#[test]
fn the_application_sees_the_clients_own_address_and_port() {
    if skipped() {
        return;
    }
    let mut rig = Rig::new();
    let pod = rig.pod(2);
    let (interception, _tampering) = rig.open();
    let _engine = Engine::start(interception.enrol(&pod.network).unwrap(), "");
    let application = Application::start(&pod.netns, "[::]:0", "application");
    for (source, target) in [("10.9.0.77", pod.v4), ("fd09::77", pod.v6)] {
        let source: IpAddr = source.parse().unwrap();
        let stream = dial(
            &pod,
            source,
            (target, application.port).into(),
            Some(41_234),
        )
        .unwrap();
        assert_eq!(
            line(&stream),
            format!("application {}", SocketAddr::new(source, 41_234))
        );
    }
    assert_eq!(counter(&interception, "lookup_own"), 2);
}

#[test]
fn a_closed_application_port_is_refused_and_nothing_leaves_the_pod() {
    if skipped() {
        return;
    }
    let mut rig = Rig::new();
    let pod = rig.pod(2);
    let (interception, _tampering) = rig.open();
    let _engine = Engine::start(interception.enrol(&pod.network).unwrap(), "");
    let nft = |command: &str| support::run(&format!("ip netns exec {} nft {command}", pod.name));
    nft("add table inet watch");
    nft("'add chain inet watch out { type filter hook postrouting priority 0; }'");
    nft("add rule inet watch out oifname eth0 meta l4proto tcp counter");
    for (source, target) in [("10.9.0.77", pod.v4), ("fd09::77", pod.v6)] {
        let error = dial(&pod, source.parse().unwrap(), (target, 9).into(), None).unwrap_err();
        assert_eq!(
            error.kind(),
            std::io::ErrorKind::ConnectionRefused,
            "{error}"
        );
    }
    let rules = nft("list table inet watch");
    assert!(
        rules.contains("counter packets 0 "),
        "packets left by the veth: {rules}"
    );
    drop(interception);
}

#[test]
fn a_taken_port_is_left_for_the_next() {
    if skipped() {
        return;
    }
    let mut rig = Rig::new();
    let pod = rig.pod(2);
    let (interception, _tampering) = rig.open();
    let _engine = Engine::start(interception.enrol(&pod.network).unwrap(), "");
    let application = Application::start(&pod.netns, "0.0.0.0:0", "application");
    let (source, target) = (
        "10.9.0.77".parse().unwrap(),
        SocketAddr::from((pod.v4, application.port)),
    );
    let first = dial(&pod, source, target, Some(40_000)).unwrap();
    let second = dial(&pod, source, target, Some(40_000)).unwrap();
    assert_ne!(first.local_addr().unwrap(), second.local_addr().unwrap());
    assert!(line(&first).ends_with(":40000"));
    drop(interception);
}

#[test]
fn sharing_a_listeners_port_steals_nothing() {
    if skipped() {
        return;
    }
    let mut rig = Rig::new();
    let (pod, outside) = (rig.pod(2), rig.pod(3));
    let (interception, _tampering) = rig.open();
    let captured = interception.enrol(&pod.network).unwrap();
    let ports = captured.listener_ports.clone();
    assert_eq!(ports.len(), 6);
    let _engine = Engine::start(captured, "");
    let bind = format!(
        "s=socket(AF_INET6)\ns.setsockopt(SOL_SOCKET,SO_REUSEPORT,1)\ns.setsockopt(SOL_SOCKET,SO_REUSEADDR,1)\ns.bind(('::',{}))",
        ports[0]
    );
    assert_eq!(python(&pod.name, &bind), "error: EADDRINUSE");
    for port in ports {
        assert!(call(&outside.name, pod.v4, port).starts_with("plaintext "));
    }
    drop(interception);
}

#[test]
fn a_forged_mark_makes_nobody_elses_connection() {
    if skipped() {
        return;
    }
    let mut rig = Rig::new();
    let (pod, outside) = (rig.pod(2), rig.pod(3));
    let (interception, _tampering) = rig.open();
    let _engine = Engine::start(interception.enrol(&pod.network).unwrap(), "");
    let script = format!(
        "s=socket()\ns.setsockopt(SOL_SOCKET,36,1<<27)\ns.connect(('{}',8080))\nsay(s)",
        pod.v4
    );
    assert!(python(&outside.name, &script).starts_with("plaintext 10.9.0.3:"));
    let script = format!(
        "s=socket()\ns.setsockopt(SOL_SOCKET,36,1<<27)\ns.connect(('{}',8080))\nsay(s)",
        outside.v4
    );
    assert!(python(&pod.name, &script).starts_with("outbound 10.9.0.2:"));
    drop(interception);
}

#[test]
fn the_nodes_probe_reaches_the_named_port_and_no_other() {
    if skipped() {
        return;
    }
    let mut rig = Rig::new();
    let (mut pod, outside) = (rig.pod(2), rig.pod(3));
    pod.network.probe_ports = vec![8081];
    let (interception, _tampering) = rig.open();
    let _engine = Engine::start(interception.enrol(&pod.network).unwrap(), "");
    let _probed = Application::start(&pod.netns, "[::]:8081", "probed");
    let node = format!("amb-{}-node", rig.id);
    assert!(call(&node, pod.v4, 8081).starts_with("probed 10.9.0.1:"));
    assert!(call(&node, pod.v6, 8081).starts_with("probed [fd09::1]:"));
    assert!(call(&node, pod.v4, 8082).starts_with("plaintext "));
    assert!(call(&outside.name, pod.v4, 8081).starts_with("plaintext "));
    assert_eq!(counter(&interception, "probe_published"), 2);
    assert_eq!(counter(&interception, "probe_passed"), 2);
}

#[test]
fn a_probe_ends_with_its_socket() {
    if skipped() {
        return;
    }
    let mut rig = Rig::new();
    let mut pod = rig.pod(2);
    pod.network.probe_ports = vec![8081];
    let (interception, _tampering) = rig.open();
    let _engine = Engine::start(interception.enrol(&pod.network).unwrap(), "");
    let _probed = Application::start(&pod.netns, "[::]:8081", "probed");
    let script = format!(
        "import ctypes\ns=socket()\ns.bind(('10.9.0.1',5555))\ns.connect(('{0}',8081))\nsay(s)\nctypes.CDLL(None).connect(s.fileno(),bytes(16),16)\n\
         s.connect(('{0}',8082))\nsay(s)",
        pod.v4
    );
    let text = python(&format!("amb-{}-node", rig.id), &script);
    let lines: Vec<_> = text.lines().collect();
    assert!(
        lines[0].starts_with("probed ") && lines[1].starts_with("plaintext "),
        "{text}"
    );
    assert_eq!(counter(&interception, "probe_closed"), 1);
}

#[test]
fn a_published_probe_does_not_outlive_the_pods_capture() {
    if skipped() {
        return;
    }
    let mut rig = Rig::new();
    let mut pod = rig.pod(2);
    pod.network.probe_ports = vec![8081];
    let (interception, _tampering) = rig.open();
    let _engine = Engine::start(interception.enrol(&pod.network).unwrap(), "");
    let _probed = Application::start(&pod.netns, "[::]:8081", "probed");
    let node = ambit_intercept::Netns::open(&rig.node_netns()).unwrap();
    let probe = node.enter(|| std::net::TcpStream::connect((pod.v4, 8081)));
    let published = || {
        let map = support::pins(&rig).join("amb_probes");
        let dump = support::run(&format!("bpftool -j map dump pinned {}", map.display()));
        dump.matches("\"formatted\"").count()
    };
    assert_eq!(published(), 1);
    interception.withdraw(&pod.network.uid).unwrap();
    assert_eq!(published(), 0);
    drop(probe);
}

#[test]
fn a_process_below_the_pods_cgroup_is_no_prober() {
    if skipped() {
        return;
    }
    let mut rig = Rig::new();
    let mut pod = rig.pod(2);
    pod.network.probe_ports = vec![8081];
    let cgroup = support::ScratchCgroup::new(&rig);
    let options = ambit_intercept::Options {
        pods_cgroup: Some(cgroup.0.clone()),
        ..rig.options()
    };
    let interception =
        ambit_intercept::Interception::open(options, std::sync::Arc::new(|_| ())).unwrap();
    let _engine = Engine::start(interception.enrol(&pod.network).unwrap(), "");
    let _probed = Application::start(&pod.netns, "[::]:8081", "probed");
    let node = format!("amb-{}-node", rig.id);
    let script = format!("say(create_connection(('{}',8081)))", pod.v4);
    let text = support::python_below(&cgroup.0.join("pod"), &node, &script);
    assert!(text.starts_with("plaintext "), "{text}");
    assert!(call(&node, pod.v4, 8081).starts_with("probed "));
    assert_eq!(counter(&interception, "probe_from_pod"), 1);
}

#[test]
fn probes_beyond_the_quota_are_plain() {
    if skipped() {
        return;
    }
    let mut rig = Rig::new();
    let mut pod = rig.pod(2);
    pod.network.probe_ports = vec![8081];
    let (interception, _tampering) = rig.open();
    let _engine = Engine::start(interception.enrol(&pod.network).unwrap(), "");
    let _probed = Application::start(&pod.netns, "[::]:8081", "probed");
    let script = format!(
        "held=[create_connection(('{0}',8081)) for n in range(256)]\nsay(create_connection(('{0}',8081)))",
        pod.v4
    );
    let text = python(&format!("amb-{}-node", rig.id), &script);
    assert!(text.starts_with("plaintext "), "{text}");
    assert_eq!(counter(&interception, "probe_over_quota"), 1);
    assert!(call(&format!("amb-{}-node", rig.id), pod.v4, 8081).starts_with("probed "));
}
