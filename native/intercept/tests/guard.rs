//! A proxy's hand-over and administration ports: only the engine's process comes through to them.

#![allow(clippy::unwrap_used)]

mod support;

use std::net::{IpAddr, Ipv4Addr, TcpStream};

use ambit_intercept::{GUARDED_PORTS, Interception, sockets};
use support::{Application, Engine, Rig, ScratchPod, call, counter, line, python, skipped};

const HANDOVER: u16 = 15_088;

/// A captured proxy whose ports would answer on every address that leads to it, and its engine.
struct Proxy {
    interception: Interception,
    pod: ScratchPod,
    _engine: Engine,
    ports: Vec<Application>,
    rig: Rig,
}

impl Proxy {
    fn start(guarded: bool) -> Self {
        let mut rig = Rig::new();
        let mut pod = rig.pod(2);
        pod.network.guarded = guarded;
        pod.network.probe_ports = GUARDED_PORTS.to_vec();
        let (interception, _tampering) = rig.open();
        let engine = Engine::start(interception.enrol(&pod.network).unwrap(), "");
        let listen = |port| Application::start(&pod.netns, &format!("[::]:{port}"), "proxy");
        let ports = GUARDED_PORTS.into_iter().chain([8080]).map(listen);
        Self {
            ports: ports.collect(),
            interception,
            pod,
            _engine: engine,
            rig,
        }
    }

    /// What one of the pod's own processes gets.
    fn attack(&self, script: &str) -> String {
        python(&self.pod.name, script)
    }

    fn refusals(&self) -> u64 {
        counter(&self.interception, "refused_guarded")
    }

    /// Every address that leads a process of the pod to the pod, and its family in Python's words.
    fn ways(&self) -> Vec<(&'static str, String)> {
        let (v4, v6) = (self.pod.v4, self.pod.v6);
        let four = ["127.0.0.1", "127.8.9.10", "0.0.0.0"].map(str::to_owned);
        let six = ["::1", "::", "::ffff:127.0.0.1", "::ffff:0.0.0.0"].map(str::to_owned);
        let six = six
            .into_iter()
            .chain([format!("::ffff:{v4}"), v6.to_string()]);
        let four = four.into_iter().chain([v4.to_string()]);
        four.map(|address| ("AF_INET", address))
            .chain(six.map(|address| ("AF_INET6", address)))
            .collect()
    }
}

macro_rules! proxy {
    ($guarded:expr) => {{
        if skipped() {
            return;
        }
        Proxy::start($guarded)
    }};
}

fn dial(family: &str, address: &str, port: u16) -> String {
    format!(
        "s=socket({family})\ns.connect(getaddrinfo('{address}',{port},{family},SOCK_STREAM)[0][4])\nsay(s)"
    )
}

#[test]
fn no_process_of_the_pod_reaches_them_by_any_address() {
    let proxy = proxy!(true);
    let mut expected = 0;
    for (family, address) in proxy.ways() {
        for port in GUARDED_PORTS {
            expected += 1;
            let heard = proxy.attack(&dial(family, &address, port));
            assert_eq!(heard, "error: ECONNREFUSED", "{address} {port}");
        }
    }
    assert_eq!(proxy.refusals(), expected);
}

#[test]
fn the_address_of_the_link_leads_there_neither() {
    let proxy = proxy!(true);
    let name = &proxy.pod.name;
    let shown = support::run(&format!("ip -n {name} -6 -o addr show dev eth0 scope link"));
    let words = shown.split_whitespace().collect::<Vec<_>>();
    let address = words[3].split('/').next().unwrap();
    let heard = proxy.attack(&dial("AF_INET6", &format!("{address}%eth0"), HANDOVER));
    assert_eq!(heard, "error: ECONNREFUSED");
}

#[test]
fn every_way_leads_there_where_nothing_is_guarded() {
    let proxy = proxy!(false);
    for (family, address) in proxy.ways() {
        let heard = proxy.attack(&dial(family, &address, HANDOVER));
        assert!(heard.starts_with("proxy "), "{address}: {heard}");
    }
}

#[test]
fn other_ports_of_the_proxy_are_free() {
    let proxy = proxy!(true);
    for (family, address) in proxy.ways() {
        let heard = proxy.attack(&dial(family, &address, 8080));
        assert!(heard.starts_with("proxy "), "{address}: {heard}");
    }
    assert_eq!(proxy.refusals(), 0);
}

#[test]
fn the_engine_comes_through() {
    let proxy = proxy!(true);
    for port in GUARDED_PORTS {
        let address = IpAddr::from(Ipv4Addr::LOCALHOST);
        let socket = sockets::stream_socket(&proxy.pod.netns, address).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_nonblocking(false).unwrap();
        sockets::connect(&stream, (address, port).into()).unwrap();
        assert!(line(&stream).starts_with("proxy 127.0.0.1:"));
    }
}

/// What a process may do to its socket before it connects.
const TRICKS: [&str; 8] = [
    "s.setsockopt(SOL_SOCKET,36,1<<27)",
    "s.setsockopt(SOL_SOCKET,36,-1)",
    "s.bind(('127.0.0.9',0))",
    "s.bind(('10.9.0.2',0))",
    "s.setsockopt(SOL_SOCKET,SO_BINDTODEVICE,b'lo')",
    "s.setsockopt(IPPROTO_IP,19,1)\ns.bind(('203.0.113.5',0))",
    "s.setsockopt(IPPROTO_TCP,30,1)",
    "s.setblocking(False)",
];

#[test]
fn no_option_of_the_socket_helps() {
    let proxy = proxy!(true);
    for trick in TRICKS {
        let script = format!("s=socket()\n{trick}\ns.connect(('127.0.0.1',{HANDOVER}))\nsay(s)");
        assert_eq!(proxy.attack(&script), "error: ECONNREFUSED", "{trick}");
    }
}

#[test]
fn data_in_the_syn_does_not_get_by() {
    let proxy = proxy!(true);
    support::run(&format!(
        "ip netns exec {} sysctl -qw net.ipv4.tcp_fastopen=0x407",
        proxy.pod.name
    ));
    let script = format!(
        "s=socket()\ns.settimeout(None)\ns.sendto(b'PROXY',MSG_FASTOPEN,('127.0.0.1',{HANDOVER}))\nsay(s)"
    );
    assert_eq!(proxy.attack(&script), "error: ECONNREFUSED");
}

#[test]
fn multipath_tcp_does_not_get_by() {
    let proxy = proxy!(true);
    for (family, address) in [("AF_INET", "127.0.0.1"), ("AF_INET6", "::1")] {
        let script = format!(
            "s=socket({family},SOCK_STREAM,262)\ns.settimeout(5)\ns.connect(('{address}',{HANDOVER}))\nsay(s)"
        );
        assert_eq!(proxy.attack(&script), "error: ECONNREFUSED", "{address}");
    }
    assert_eq!(proxy.refusals(), 2);
}

#[test]
fn a_socket_that_was_connected_elsewhere_is_judged_anew() {
    let proxy = proxy!(true);
    let script = format!(
        "import ctypes\ns=socket()\ns.connect(('127.0.0.1',8080))\nsay(s)\nctypes.CDLL(None).connect(s.fileno(),bytes(16),16)\n\
         s.connect(('127.0.0.1',{HANDOVER}))\nsay(s)"
    );
    let heard = proxy.attack(&script);
    assert_eq!(heard.lines().last(), Some("error: ECONNREFUSED"), "{heard}");
}

#[test]
fn the_proxy_cannot_be_made_to_dial_itself() {
    let mut proxy = proxy!(true);
    proxy.ports.clear();
    let script = format!(
        "l=socket()\nl.bind(('127.0.0.1',{HANDOVER}))\nl.listen()\ns=socket()\ns.connect(l.getsockname())\nprint('in')"
    );
    assert_eq!(proxy.attack(&script), "error: ECONNREFUSED");
}

#[test]
fn an_address_that_the_pod_gave_itself_does_not_lead_there() {
    let proxy = proxy!(true);
    let name = &proxy.pod.name;
    support::run(&format!(
        "ip -n {name} addr add 10.77.0.1/32 dev lo && ip -n {name} addr add 10.9.0.99/24 dev eth0"
    ));
    for address in ["10.77.0.1", "10.9.0.99"] {
        let heard = proxy.attack(&dial("AF_INET", address, HANDOVER));
        assert!(!heard.contains("proxy"), "{address}: {heard}");
    }
}

#[test]
fn from_outside_they_are_plaintext_also_for_the_nodes_probes() {
    let mut proxy = proxy!(true);
    let outside = proxy.rig.pod(3).name;
    let node = format!("amb-{}-node", proxy.rig.id);
    for from in [outside, node] {
        for address in [proxy.pod.v4, proxy.pod.v6] {
            for port in GUARDED_PORTS {
                let heard = call(&from, address, port);
                assert!(heard.starts_with("plaintext "), "{from}: {heard}");
            }
        }
    }
}

#[test]
fn the_guard_follows_an_update() {
    let proxy = proxy!(false);
    let script = dial("AF_INET", "127.0.0.1", HANDOVER);
    let mut network = proxy.pod.network.clone();
    for (guarded, expected) in [(true, "error: ECONNREFUSED"), (false, "proxy 127.0.0.1")] {
        network.guarded = guarded;
        proxy.interception.update(&network).unwrap();
        let heard = proxy.attack(&script);
        assert!(heard.starts_with(expected), "{heard}");
    }
}

#[test]
fn it_holds_while_no_engine_serves() {
    let proxy = proxy!(true);
    proxy.interception.retire();
    let heard = proxy.attack(&dial("AF_INET", "127.0.0.1", HANDOVER));
    assert_eq!(heard, "error: ECONNREFUSED");
}
