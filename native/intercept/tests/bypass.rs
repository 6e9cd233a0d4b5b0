//! Pods that take connections from outside themselves, as gateways do.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};

use ambit_intercept::{Interception, Options};
use support::{Application, Engine, Rig, ScratchPod, call, counter, far, run, skipped};

/// A pod that serves 8080 itself, and one outside of the mesh.
struct Setting {
    pod: ScratchPod,
    outside: ScratchPod,
    rig: Rig,
}

impl Setting {
    fn new() -> Self {
        let mut rig = Rig::new();
        let (mut pod, outside) = (rig.pod(2), rig.pod(3));
        pod.network.bypass_inbound = true;
        Self { pod, outside, rig }
    }

    fn call(&self, address: IpAddr, port: u16) -> String {
        call(&self.outside.name, address, port)
    }
}

macro_rules! setting {
    () => {{
        if skipped() {
            return;
        }
        Setting::new()
    }};
}

#[test]
fn connections_from_outside_find_the_pods_own_sockets() {
    let it = setting!();
    let (interception, _tampering) = it.rig.open();
    let _engine = Engine::start(interception.enrol(&it.pod.network).unwrap(), "");
    let _application = Application::start(&it.pod.netns, "[::]:8080", "application");
    let four = it.call(it.pod.v4, 8080);
    assert!(four.starts_with("application 10.9.0.3:"), "{four}");
    let six = it.call(it.pod.v6, 8080);
    assert!(six.starts_with("application [fd09::3]:"), "{six}");
    assert_eq!(counter(&interception, "lookup_bypassed"), 2);
    assert_eq!(counter(&interception, "lookup_plaintext"), 0);
    for address in [it.pod.v4, it.pod.v6] {
        assert_eq!(it.call(address, 8081), "error: ECONNREFUSED");
    }
}

#[test]
fn another_address_of_the_pod_is_its_own_too() {
    let it = setting!();
    let name = &it.pod.name;
    run(&format!("ip -n {name} addr add 10.9.0.77/24 dev eth0"));
    let (interception, _tampering) = it.rig.open();
    let _engine = Engine::start(interception.enrol(&it.pod.network).unwrap(), "");
    let _application = Application::start(&it.pod.netns, "[::]:8080", "application");
    let answer = it.call("10.9.0.77".parse().unwrap(), 8080);
    assert!(answer.starts_with("application "), "{answer}");
}

#[test]
fn tunnels_and_outbound_connections_are_the_engines_all_the_same() {
    let it = setting!();
    let (interception, _tampering) = it.rig.open();
    let _engine = Engine::start(interception.enrol(&it.pod.network).unwrap(), "");
    let _application = Application::start(&it.pod.netns, "[::]:15008", "application");
    for address in [it.pod.v4, it.pod.v6] {
        assert!(it.call(address, 15008).starts_with("hbone "), "{address}");
    }
    assert!(far(&it.pod).starts_with("outbound "));
    let six = call(&it.pod.name, "2001:db8:77::7".parse().unwrap(), 80);
    assert!(six.starts_with("outbound "), "{six}");
    drop(interception);
}

#[test]
fn a_proxys_guarded_ports_take_nobody_from_outside() {
    for (guarded, expected) in [(true, "plaintext "), (false, "application ")] {
        let mut it = setting!();
        it.pod.network.guarded = guarded;
        let (interception, _tampering) = it.rig.open();
        let _engine = Engine::start(interception.enrol(&it.pod.network).unwrap(), "");
        for port in ambit_intercept::GUARDED_PORTS {
            let listen = format!("[::]:{port}");
            let _application = Application::start(&it.pod.netns, &listen, "application");
            for address in [it.pod.v4, it.pod.v6] {
                let answer = it.call(address, port);
                assert!(answer.starts_with(expected), "{guarded} {port}: {answer}");
            }
        }
        drop(interception);
    }
}

/// A connection whose two ends are both here.
struct Open(TcpStream, TcpStream);

impl Open {
    fn to(it: &Setting, listener: &TcpListener, address: IpAddr) -> Self {
        let connecting = it
            .outside
            .netns
            .enter(|| TcpStream::connect((address, 8080)));
        let client = connecting.unwrap().unwrap();
        listener.set_nonblocking(false).unwrap();
        let (server, _) = listener.accept().unwrap();
        for end in [&client, &server] {
            end.set_read_timeout(Some(support::PATIENCE)).unwrap();
        }
        Self(client, server)
    }

    fn is_whole(&mut self) -> bool {
        let pass = |from: &mut TcpStream, to: &mut TcpStream| {
            let mut heard = [0; 4];
            from.write_all(b"ping").is_ok() && to.read_exact(&mut heard).is_ok()
        };
        pass(&mut self.0, &mut self.1) && pass(&mut self.1, &mut self.0)
    }
}

#[test]
fn a_changed_mind_holds_for_new_connections_and_breaks_no_open_one() {
    let mut it = setting!();
    it.pod.network.bypass_inbound = false;
    let options = Options {
        threads: 1,
        ..it.rig.options()
    };
    let interception = Interception::open(options, std::sync::Arc::new(|_| ())).unwrap();
    let captured = interception.enrol(&it.pod.network).unwrap();
    let own = it.pod.netns.enter(|| TcpListener::bind("[::]:8080"));
    let own = own.unwrap().unwrap();
    let plaintext = &captured.listeners[0].plaintext;
    let mut open = Vec::new();
    for bypass in [false, true, false, true] {
        it.pod.network.bypass_inbound = bypass;
        interception.update(&it.pod.network).unwrap();
        let expected = if bypass { &own } else { plaintext };
        for address in [it.pod.v4, it.pod.v6] {
            open.push(Open::to(&it, expected, address));
        }
        assert!(open.iter_mut().all(Open::is_whole), "{bypass}");
    }
    assert_eq!(interception.health().missing, Vec::<String>::new());
}

#[test]
fn what_was_attached_again_still_knows() {
    let it = setting!();
    let (interception, tampering) = it.rig.open();
    let _engine = Engine::start(interception.enrol(&it.pod.network).unwrap(), "");
    let _application = Application::start(&it.pod.netns, "[::]:8080", "application");
    let pin = support::pins(&it.rig).join("pods");
    let pin = std::fs::read_dir(pin).unwrap().flatten().next().unwrap();
    run(&format!(
        "bpftool link detach pinned {}",
        pin.path().join("lookup").display()
    ));
    tampering.recv_timeout(support::PATIENCE).unwrap();
    assert!(it.call(it.pod.v4, 8080).starts_with("application "));
    drop(interception);
}
