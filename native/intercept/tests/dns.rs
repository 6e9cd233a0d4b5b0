//! The way of a captured pod's name queries: real sockets, and an engine that says what it was asked.

#![allow(clippy::unwrap_used)]

mod support;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread::JoinHandle;

use ambit_intercept::datagrams::{connected, receive};
use ambit_intercept::{DnsSockets, Interception, Netns};
use support::{Application, Engine, PATIENCE, Rig, ScratchPod, counter, python, run, skipped};

/// Outside of every scratch network: without capture nobody would answer.
const RESOLVER: &str = "203.0.113.53";
const RESOLVER_V6: &str = "2001:db8:77::53";

/// Answers each query by `engine ADDRESS QUERY`, from the address that was asked.
struct Answers {
    socket: Option<Arc<UdpSocket>>,
    thread: Option<JoinHandle<()>>,
}

impl Answers {
    fn start(sockets: DnsSockets, addresses: Vec<IpAddr>) -> Self {
        let DnsSockets { queries, replies } = sockets;
        queries.set_nonblocking(false).unwrap();
        let socket = Arc::new(queries);
        let reading = Arc::clone(&socket);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok(query) = receive(&*reading, &mut buffer) {
                let Ok(text) = std::str::from_utf8(&buffer[..query.length]) else {
                    return;
                };
                if text.is_empty() {
                    return;
                }
                let answer = format!("engine {} {text}", query.destination);
                let from = SocketAddr::new(query.destination, 53);
                let to = back(query.source, &addresses);
                replies.send(from, to, answer.as_bytes()).unwrap();
            }
        });
        Self {
            socket: Some(socket),
            thread: Some(thread),
        }
    }
}

fn back(source: SocketAddr, addresses: &[IpAddr]) -> SocketAddr {
    if !source.ip().is_loopback() {
        return source;
    }
    let own = addresses
        .iter()
        .find(|own| own.is_ipv4() == source.is_ipv4());
    SocketAddr::new(*own.unwrap(), source.port())
}

impl Drop for Answers {
    fn drop(&mut self) {
        // Also ends a thread that waits: for an unconnected datagram socket the call fails, but wakes the reader.
        let socket = self.socket.take().unwrap();
        // SAFETY: two integers.
        unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RD) };
        drop(socket);
        self.thread.take().unwrap().join().unwrap();
    }
}

struct Captured {
    interception: Interception,
    pod: ScratchPod,
    answers: Option<Answers>,
    _engine: Engine,
    rig: Rig,
}

impl Captured {
    fn start() -> Self {
        let mut rig = Rig::new();
        let pod = rig.pod(2);
        let (interception, _tampering) = rig.open();
        let captured = interception.enrol(&pod.network).unwrap();
        let engine = Engine::start(captured, "");
        let sockets = interception.capture_dns(&pod.network.uid).unwrap();
        let answers = Some(Answers::start(sockets, vec![pod.v4, pod.v6]));
        Self {
            interception,
            pod,
            answers,
            _engine: engine,
            rig,
        }
    }

    fn python(&self, script: &str) -> String {
        python(&self.pod.name, script)
    }

    fn counter(&self, name: &str) -> u64 {
        counter(&self.interception, name)
    }

    /// A name server of the node, reached without capture.
    fn resolver(&self) -> (Resolver, Resolver) {
        let node = Netns::open(&self.rig.node_netns()).unwrap();
        (
            Resolver::start(&node, "10.9.0.1:53"),
            Resolver::start(&node, "[fd09::1]:53"),
        )
    }
}

/// Answers each query by `resolver QUERY PEER`; an empty one ends it.
struct Resolver {
    socket: Arc<UdpSocket>,
    thread: Option<JoinHandle<()>>,
}

impl Resolver {
    fn start(netns: &Netns, address: &str) -> Self {
        let socket = Arc::new(netns.enter(|| UdpSocket::bind(address)).unwrap().unwrap());
        let reading = Arc::clone(&socket);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((length, peer)) = reading.recv_from(&mut buffer) {
                if length == 0 {
                    return;
                }
                let text = String::from_utf8_lossy(&buffer[..length]);
                let answer = format!("resolver {text} {}", peer.ip());
                reading.send_to(answer.as_bytes(), peer).unwrap();
            }
        });
        Self {
            socket,
            thread: Some(thread),
        }
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        // SAFETY: two integers.
        unsafe { libc::shutdown(self.socket.as_raw_fd(), libc::SHUT_RD) };
        self.thread.take().unwrap().join().unwrap();
    }
}

macro_rules! captured {
    ($name:ident) => {
        if skipped() {
            return;
        }
        #[allow(unused_mut)]
        let mut $name = Captured::start();
    };
}

#[test]
fn an_unconnected_socket_hears_from_the_resolver_that_it_asked() {
    captured!(it);
    let text = it.python(&format!(
        "s=socket(AF_INET,SOCK_DGRAM)\ns.sendto(b'q',('{RESOLVER}',53))\nprint(s.recvfrom(99))"
    ));
    assert_eq!(
        text,
        format!("(b'engine {RESOLVER} q', ('{RESOLVER}', 53))")
    );
    assert_eq!(it.counter("dns_captured"), 1);
    assert_eq!(it.counter("lookup_dns"), 1);
}

#[test]
fn a_connected_socket_hears_and_has_the_names_of_both_ends() {
    captured!(it);
    let text = it.python(&format!(
        "s=socket(AF_INET,SOCK_DGRAM)\ns.connect(('{RESOLVER}',53))\nfor q in (b'a',b'b'):\n  s.send(q)\n  print(s.recv(99))\nprint(s.getsockname()[0],s.getpeername())"
    ));
    assert_eq!(
        text,
        format!("b'engine {RESOLVER} a'\nb'engine {RESOLVER} b'\n10.9.0.2 ('{RESOLVER}', 53)")
    );
}

#[test]
fn ipv6_is_captured_connected_or_not() {
    captured!(it);
    let text = it.python(&format!(
        "s=socket(AF_INET6,SOCK_DGRAM)\ns.sendto(b'q',('{RESOLVER_V6}',53))\nprint(s.recvfrom(99)[1][:2])\n\
         c=socket(AF_INET6,SOCK_DGRAM)\nc.connect(('{RESOLVER_V6}',53))\nc.send(b'q')\nprint(c.recv(99),c.getsockname()[0])"
    ));
    assert_eq!(
        text,
        format!("('{RESOLVER_V6}', 53)\nb'engine {RESOLVER_V6} q' fd09::2")
    );
}

#[test]
fn v4_mapped_ipv6_is_captured_connected_or_not() {
    captured!(it);
    let text = it.python(&format!(
        "s=socket(AF_INET6,SOCK_DGRAM)\ns.sendto(b'q',('::ffff:{RESOLVER}',53))\nprint(s.recvfrom(99)[1][:2])\n\
         c=socket(AF_INET6,SOCK_DGRAM)\nc.connect(('::ffff:{RESOLVER}',53))\nc.send(b'q')\nprint(c.recv(99))"
    ));
    assert_eq!(
        text,
        format!("('::ffff:{RESOLVER}', 53)\nb'engine {RESOLVER} q'")
    );
}

#[test]
fn several_resolvers_in_turn_answer_one_socket_each_for_itself() {
    captured!(it);
    let text = it.python(
        "s=socket(AF_INET,SOCK_DGRAM)\nrs=['203.0.113.%d'%n for n in range(1,5)]\nfor r in rs: s.sendto(r.encode(),(r,53))\n\
         got=dict((a[0],d.decode()) for d,a in (s.recvfrom(99) for _ in rs))\nprint(all(got[r]=='engine %s %s'%(r,r) for r in rs))",
    );
    assert_eq!(text, "True");
}

#[test]
fn one_socket_asks_names_and_speaks_to_others() {
    captured!(it);
    let node = Netns::open(&it.rig.node_netns()).unwrap();
    let _other = Resolver::start(&node, "10.9.0.1:1234");
    let text = it.python(&format!(
        "s=socket(AF_INET,SOCK_DGRAM)\nfor d in (('{RESOLVER}',53),('10.9.0.1',1234),('{RESOLVER}',53)):\n  s.sendto(b'q',d)\n  print(s.recvfrom(99)[0])\n\
         s.connect(('{RESOLVER}',53))\ns.sendto(b'q',('10.9.0.1',1234))\ns.connect(('10.9.0.1',1234))\ns.send(b'q')\nprint(s.recv(99))"
    ));
    assert_eq!(
        text,
        format!(
            "b'engine {RESOLVER} q'\nb'resolver q 10.9.0.2'\nb'engine {RESOLVER} q'\nb'resolver q 10.9.0.2'"
        )
    );
}

#[test]
fn a_source_that_is_asked_for_is_kept() {
    captured!(it);
    let text = it.python(&format!(
        "s=socket(AF_INET,SOCK_DGRAM)\ns.bind(('10.9.0.2',4053))\ns.setsockopt(IPPROTO_IP,8,1)\ns.sendto(b'q',('{RESOLVER}',53))\n\
         d,c,f,a=s.recvmsg(99,99)\nprint(d,a,inet_ntoa(c[0][2][8:12]))\n\
         p=socket(AF_INET,SOCK_DGRAM)\np.sendmsg([b'p'],[(IPPROTO_IP,8,bytes(4)+inet_aton('10.9.0.2')+bytes(4))],0,('{RESOLVER}',53))\nprint(p.recv(99))"
    ));
    assert_eq!(
        text,
        format!("b'engine {RESOLVER} q' ('{RESOLVER}', 53) 10.9.0.2\nb'engine {RESOLVER} p'")
    );
    assert_eq!(it.counter("dns_captured"), 2);
}

#[test]
fn who_binds_to_a_device_reaches_the_resolver_itself() {
    captured!(it);
    let _resolvers = it.resolver();
    let text = it.python(
        "s=socket(AF_INET,SOCK_DGRAM)\ns.setsockopt(SOL_SOCKET,SO_BINDTODEVICE,b'eth0')\ns.sendto(b'u',('10.9.0.1',53))\nprint(s.recv(99))\n\
         s.connect(('10.9.0.1',53))\ns.send(b'c')\nprint(s.recv(99))",
    );
    assert_eq!(text, "b'resolver u 10.9.0.2'\nb'resolver c 10.9.0.2'");
    assert_eq!(it.counter("dns_bound"), 2);
}

#[test]
fn an_interface_that_is_named_for_one_datagram_is_refused_or_ignored_and_nothing_hangs() {
    captured!(it);
    let text = it.python(&format!(
        "i=if_nametoindex('eth0').to_bytes(4,'little')\ns=socket(AF_INET,SOCK_DGRAM)\n\
         s.sendmsg([b'p'],[(IPPROTO_IP,8,i+bytes(8))],0,('{RESOLVER}',53))"
    ));
    assert_eq!(text, "error: EINVAL");
    let text = it.python(&format!(
        "i=if_nametoindex('eth0').to_bytes(4,'little')\ns=socket(AF_INET6,SOCK_DGRAM)\n\
         s.sendmsg([b'p'],[(IPPROTO_IPV6,50,bytes(16)+i)],0,('{RESOLVER_V6}',53))\nprint(s.recv(99))"
    ));
    assert_eq!(text, format!("b'engine {RESOLVER_V6} p'"));
}

#[test]
fn the_pods_own_name_server_is_its_own() {
    captured!(it);
    let _own = Resolver::start(&it.pod.netns, "0.0.0.0:53");
    let text = it.python(&format!(
        "s=socket(AF_INET,SOCK_DGRAM)\nfor d in ('127.0.0.1','127.0.0.53','10.9.0.2','{RESOLVER}'):\n  s.sendto(b'q',(d,53))\n  print(s.recvfrom(99)[0])"
    ));
    assert_eq!(
        text,
        format!(
            "b'resolver q 127.0.0.1'\nb'resolver q 127.0.0.1'\nb'resolver q 10.9.0.2'\nb'engine {RESOLVER} q'"
        )
    );
}

#[test]
fn a_query_from_port_53_is_answered_there() {
    captured!(it);
    let text = it.python(&format!(
        "s=socket(AF_INET,SOCK_DGRAM)\ns.bind(('',53))\ns.sendto(b'q',('{RESOLVER}',53))\nprint(s.recv(99))"
    ));
    assert_eq!(text, format!("b'engine {RESOLVER} q'"));
}

#[test]
fn a_big_answer_arrives_whole() {
    captured!(it);
    let text = it.python(&format!(
        "s=socket(AF_INET,SOCK_DGRAM)\ns.sendto(b'x'*1900,('{RESOLVER}',53))\nprint(len(s.recv(9999)))"
    ));
    assert_eq!(
        text,
        (1900 + format!("engine {RESOLVER} ").len()).to_string()
    );
}

#[test]
fn the_engines_own_queries_go_to_the_resolver() {
    captured!(it);
    let _resolvers = it.resolver();
    for peer in ["10.9.0.1:53", "[fd09::1]:53"] {
        let socket = connected(&it.pod.netns, peer.parse().unwrap()).unwrap();
        socket.set_nonblocking(false).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.send(b"q").unwrap();
        let mut buffer = [0; 99];
        let length = socket.recv(&mut buffer).unwrap();
        assert!(buffer[..length].starts_with(b"resolver q"), "{peer}");
    }
    assert_eq!(it.counter("dns_captured"), 0);
}

#[test]
fn a_name_server_at_another_address_of_the_namespace_is_reached() {
    captured!(it);
    let name = &it.pod.name;
    run(&format!(
        "ip -n {name} addr add 10.255.255.53/32 dev lo && ip -n {name} addr add fd53::53/128 dev lo nodad"
    ));
    let _four = Resolver::start(&it.pod.netns, "10.255.255.53:53");
    let _six = Resolver::start(&it.pod.netns, "[fd53::53]:53");
    // As the engine does, to which the pod's own queries for it go.
    for peer in ["10.255.255.53:53", "[fd53::53]:53"] {
        let socket = connected(&it.pod.netns, peer.parse().unwrap()).unwrap();
        socket.set_nonblocking(false).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.send(b"q").unwrap();
        let mut buffer = [0; 99];
        let length = socket.recv(&mut buffer).unwrap();
        assert!(buffer[..length].starts_with(b"resolver q"), "{peer}");
    }
    it.interception.release_dns(&it.pod.network.uid).unwrap();
    let text = it.python(
        "for f,d in ((AF_INET,'10.255.255.53'),(AF_INET6,'fd53::53')):\n  s=socket(f,SOCK_DGRAM)\n  s.settimeout(5)\n  s.sendto(b'u',(d,53))\n  print(s.recv(99)[:8])",
    );
    assert_eq!(text, "b'resolver'\nb'resolver'");
    assert_eq!(it.counter("dropped_no_dns"), 0);
}

#[test]
fn without_an_engine_queries_go_to_the_resolver_at_once() {
    captured!(it);
    let _resolvers = it.resolver();
    it.answers = None;
    let text = it.python(
        "for f,d in ((AF_INET,'10.9.0.1'),(AF_INET6,'fd09::1')):\n  s=socket(f,SOCK_DGRAM)\n  s.sendto(b'u',(d,53))\n  print(s.recv(99))\n\
         \n  s.connect((d,53))\n  s.send(b'c')\n  print(s.recv(99))",
    );
    assert_eq!(
        text,
        "b'resolver u 10.9.0.2'\nb'resolver c 10.9.0.2'\nb'resolver u fd09::2'\nb'resolver c fd09::2'"
    );
    assert_eq!(it.counter("dns_open"), 4);
    assert_eq!(it.counter("dropped_no_dns"), 0);
}

#[test]
fn a_long_lived_socket_follows_the_engine_out_and_back() {
    captured!(it);
    let _resolvers = it.resolver();
    let mut child = std::process::Command::new("ip")
        .args(["netns", "exec", &it.pod.name, "python3", "-uc"])
        .arg(
            "from socket import *\nimport sys,errno\nu=socket(AF_INET,SOCK_DGRAM)\nc=socket(AF_INET,SOCK_DGRAM)\nfor line in sys.stdin:\n  out=[]\n  u.settimeout(5)\n  u.sendto(b'q',('10.9.0.1',53))\n  out.append(u.recv(99).decode())\n  c.connect(('10.9.0.1',53))\n  c.settimeout(5)\n  c.send(b'q')\n  out.append(c.recv(99).decode())\n  print(*out,sep=';')\n",
        )
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let mut ask = || {
        std::io::Write::write_all(&mut input, b"go\n").unwrap();
        lines.next().unwrap().unwrap()
    };
    let captured = "engine 10.9.0.1 q;engine 10.9.0.1 q";
    assert_eq!(ask(), captured);
    it.answers = None;
    assert_eq!(ask(), "resolver q 10.9.0.2;resolver q 10.9.0.2");
    let sockets = it.interception.capture_dns(&it.pod.network.uid).unwrap();
    it.answers = Some(Answers::start(sockets, vec![it.pod.v4, it.pod.v6]));
    assert_eq!(ask(), captured);
    drop(input);
    child.wait().unwrap();
}

#[test]
fn dns_over_tcp_is_captured_while_somebody_answers_and_open_after() {
    captured!(it);
    let node = Netns::open(&it.rig.node_netns()).unwrap();
    let _resolver = Application::start(&node, "10.9.0.1:53", "resolver");
    let script = "say(create_connection(('10.9.0.1',53)))";
    assert!(it.python(script).starts_with("outbound"));
    it.answers = None;
    assert!(it.python(script).starts_with("resolver 10.9.0.2"));
}

#[test]
fn released_queries_go_to_the_resolver_and_nothing_is_left() {
    captured!(it);
    let _resolvers = it.resolver();
    it.interception.release_dns(&it.pod.network.uid).unwrap();
    let text = it
        .python("s=socket(AF_INET,SOCK_DGRAM)\ns.sendto(b'q',('10.9.0.1',53))\nprint(s.recv(99))");
    assert_eq!(text, "b'resolver q 10.9.0.2'");
    let rules = run(&format!("ip -n {0} rule; ip -n {0} -6 rule", it.pod.name));
    assert!(!rules.contains("dport"), "{rules}");
    it.interception.withdraw(&it.pod.network.uid).unwrap();
    it.interception.release(&it.pod.network.uid).unwrap();
}

#[test]
fn a_pod_that_leaves_the_mesh_asks_its_resolver() {
    captured!(it);
    let _resolvers = it.resolver();
    it.interception.withdraw(&it.pod.network.uid).unwrap();
    let script =
        "s=socket(AF_INET,SOCK_DGRAM)\ns.connect(('10.9.0.1',53))\ns.send(b'q')\nprint(s.recv(99))";
    assert_eq!(it.python(script), "b'resolver q 10.9.0.2'");
    it.interception.release(&it.pod.network.uid).unwrap();
}

#[test]
fn rules_that_a_pod_removes_come_back() {
    captured!(it);
    let rules = || run(&format!("ip -n {0} rule; ip -n {0} -6 rule", it.pod.name));
    let before = rules();
    assert_eq!(before.matches("dport 53").count(), 4, "{before}");
    run(&format!(
        "ip -n {} rule del from 127.53.53.53 ipproto udp dport 53 lookup 15001",
        it.pod.name
    ));
    let end = std::time::Instant::now() + PATIENCE;
    while rules() != before && std::time::Instant::now() < end {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(rules(), before);
}

#[test]
fn what_comes_to_the_socket_directly_is_told_apart() {
    captured!(it);
    let port = it
        .answers
        .as_ref()
        .and_then(|answers| answers.socket.as_ref())
        .map(|socket| socket.local_addr().unwrap().port())
        .unwrap();
    let node = format!("amb-{}-node", it.rig.id);
    let script = format!(
        "s=socket(AF_INET,SOCK_DGRAM)\ns.connect(('10.9.0.2',{port}))\ns.send(b'q')\ns.recv(99)"
    );
    assert_eq!(python(&node, &script), "error: ECONNREFUSED");
}
