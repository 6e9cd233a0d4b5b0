//! Two nodes made of network namespaces, each with an engine of its own in this process, and applications in processes of
//! their own: the engine's process is exempt from capture.
#![allow(dead_code, clippy::unwrap_used)]

pub mod answers;
pub mod application;
pub mod authority;
pub mod control;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use ambit_engine::api::{
    Endpoint, EndpointSet, EngineEvent, EngineOptions, EventSink, LogFormat, PodSpec, Protocol,
};
use ambit_engine::engine::{Engine, detach};
use answers::{Policy, answer};
use application::{first_line, spawn};
use authority::Authority;

static NEXT: AtomicU32 = AtomicU32::new(0);
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Without root there is nothing to test; in CI that is a failure.
pub fn skipped() -> bool {
    // SAFETY: takes nothing and cannot fail.
    let root = unsafe { libc::geteuid() } == 0;
    if !root {
        println!("skipped: needs root");
        assert_ne!(
            std::env::var("CI").as_deref(),
            Ok("true"),
            "CI must run this as root"
        );
    }
    !root
}

fn run(command: &str) -> String {
    let output = Command::new("sh").arg("-c").arg(command).output().unwrap();
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Ports that TCP sockets of a namespace listen on.
pub fn listening(netns: &str) -> Vec<u16> {
    let text = run(&format!("ip netns exec {netns} ss -Hltn"));
    let port = |line: &str| {
        line.split_whitespace()
            .nth(3)?
            .rsplit(':')
            .next()?
            .parse()
            .ok()
    };
    text.lines().filter_map(port).collect()
}

/// As an administrator may who has the right to.
pub fn destroy_udp_sockets(netns: &str) {
    run(&format!("ip netns exec {netns} ss -K -aun"));
}

/// One more address on a pod's link, as a second network gives it.
pub fn add_address(netns: &str, address: &str) {
    run(&format!("ip -n {netns} addr add {address} dev eth0"));
}

fn bpffs() -> PathBuf {
    if !run("cat /proc/mounts")
        .lines()
        .any(|line| line.split(' ').nth(1) == Some("/sys/fs/bpf"))
    {
        run("mount -t bpf bpf /sys/fs/bpf");
    }
    PathBuf::from("/sys/fs/bpf")
}

fn cgroup_root() -> PathBuf {
    let mounts = run("cat /proc/mounts");
    let line = mounts
        .lines()
        .find(|line| line.split(' ').nth(2) == Some("cgroup2"))
        .expect("cgroup2 is mounted");
    PathBuf::from(line.split(' ').nth(1).unwrap())
}

/// Answers questions from a thread of its own, as the agent does.
struct Sink {
    questions: mpsc::Sender<EngineEvent>,
}

impl EventSink for Sink {
    fn emit(&self, event: EngineEvent) {
        let _ = self.questions.send(event);
    }
}

pub struct Node {
    name: String,
    pub engine: Arc<Engine>,
    pub released: Arc<Mutex<Vec<String>>>,
}

impl Node {
    /// An endpoint set of one.
    pub fn offer(&self, id: &str, endpoint: Endpoint) {
        let set = EndpointSet {
            id: id.into(),
            version: 1,
            endpoints: vec![endpoint],
        };
        self.engine.set_endpoint_set(set).unwrap();
    }
}

/// The pod as other nodes see it.
pub fn endpoint(pod: &Pod) -> Endpoint {
    Endpoint {
        workload: pod.uid.clone(),
        pod_uid: Some(pod.uid.clone()),
        address: pod.address,
        port: 0,
        protocol: Protocol::Hbone,
        identities: Arc::from([pod.identity.clone()]),
        weight: 1,
        local: false,
        authority: None,
    }
}

pub struct Pod {
    pub uid: Arc<str>,
    pub netns: String,
    pub address: IpAddr,
    pub address_v6: IpAddr,
    pub identity: Arc<str>,
    pub node: usize,
}

pub struct Mesh {
    id: String,
    bridge: String,
    pub nodes: Vec<Node>,
    pub pods: Vec<Pod>,
    pub policy: Arc<Mutex<Policy>>,
    names: Vec<String>,
    children: Vec<Child>,
    pub authority: Authority,
}

impl Mesh {
    pub fn new(nodes: usize) -> Self {
        let id = format!(
            "{:x}e{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let bridge = format!("amb-{id}-link");
        run(&format!(
            "ip netns add {bridge} && ip -n {bridge} link add br0 type bridge && ip -n {bridge} link set br0 up"
        ));
        let policy = Arc::new(Mutex::new(Policy::default()));
        let nodes = (0..nodes)
            .map(|index| node(&format!("test.{id}.{index}"), policy.clone()))
            .collect();
        let names = vec![bridge.clone()];
        Mesh {
            id,
            bridge,
            nodes,
            pods: vec![],
            policy,
            names,
            children: vec![],
            authority: Authority::new(),
        }
    }

    /// A namespace on the link between the nodes, not enrolled.
    pub fn outsider(&mut self, host: u8) -> String {
        let name = format!("amb-{}-p{host}", self.id);
        let bridge = &self.bridge;
        run(&format!(
            "ip netns add {name} && ip -n {name} link set lo up &&
             ip -n {bridge} link add v{host} type veth peer name eth0 netns {name} &&
             ip -n {bridge} link set v{host} master br0 up && ip -n {name} link set eth0 up &&
             ip -n {name} addr add 10.9.0.{host}/24 dev eth0 && ip -n {name} route add default via 10.9.0.1 &&
             ip -n {name} addr add fd09::{host}/64 dev eth0 nodad && ip -n {name} route add default via fd09::1 &&
             ip netns exec {name} sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.tcp_congestion_control=reno"
        ));
        self.names.push(name.clone());
        name
    }

    /// A pod, enrolled, with its certificate, and known to every node as an endpoint of itself.
    pub fn pod(&mut self, host: u8, node: usize) -> usize {
        self.enrol(host, node, false)
    }

    /// A pod of the first node whose name queries are captured.
    pub fn named_pod(&mut self, host: u8) -> usize {
        let pod = self.pod(host, 0);
        self.set_dns(pod, true);
        pod
    }

    pub fn set_dns(&self, pod: usize, dns_capture: bool) {
        let pod = &self.pods[pod];
        let spec = PodSpec {
            dns_capture,
            ..self.spec(pod)
        };
        self.nodes[pod.node].engine.enrol(spec).unwrap();
    }

    /// A pod of the first node that takes connections from outside itself.
    pub fn gateway(&mut self, host: u8) -> usize {
        let pod = self.pod(host, 0);
        let spec = PodSpec {
            bypass_inbound: true,
            ..self.spec(&self.pods[pod])
        };
        self.nodes[0].engine.enrol(spec).unwrap();
        pod
    }

    /// A pod with a proxy, which takes connections for others.
    pub fn waypoint(&mut self, host: u8, node: usize) -> usize {
        let waypoint = self.enrol(host, node, true);
        let netns = self.netns(waypoint);
        self.start(&netns, "proxy");
        waypoint
    }

    fn enrol(&mut self, host: u8, node: usize, handover: bool) -> usize {
        let netns = self.outsider(host);
        let pod = Pod {
            uid: format!("uid-{}-{host}", self.id).into(),
            netns: netns.clone(),
            address: format!("10.9.0.{host}").parse().unwrap(),
            address_v6: format!("fd09::{host}").parse().unwrap(),
            identity: format!("spiffe://cluster.local/ns/default/sa/p{host}").into(),
            node,
        };
        let engine = &self.nodes[node].engine;
        engine
            .set_identity(self.authority.issue(&pod.identity))
            .unwrap();
        let spec = PodSpec {
            handover,
            ..self.spec(&pod)
        };
        engine.enrol(spec).unwrap();
        self.announce(&pod);
        self.pods.push(pod);
        self.pods.len() - 1
    }

    fn spec(&self, pod: &Pod) -> PodSpec {
        PodSpec {
            uid: pod.uid.clone(),
            netns: Path::new("/run/netns").join(&pod.netns),
            addresses: vec![pod.address, pod.address_v6],
            identity: pod.identity.clone(),
            workload: pod.uid.clone(),
            probe_ports: vec![],
            handover: false,
            dns_capture: false,
            bypass_inbound: false,
        }
    }

    fn announce(&self, pod: &Pod) {
        for (index, node) in self.nodes.iter().enumerate() {
            let endpoint = Endpoint {
                local: index == pod.node,
                ..endpoint(pod)
            };
            node.offer(&pod.address.to_string(), endpoint);
        }
    }

    /// Runs an application in a namespace: `child` says what it does. Returns once it said its first line.
    pub fn start(&mut self, netns: &str, what: &str) -> String {
        let mut child = spawn(netns, what);
        let line = first_line(&mut child);
        self.children.push(child);
        line
    }

    pub fn serve(&mut self, pod: usize, port: u16) -> SocketAddr {
        let (netns, address) = (self.pods[pod].netns.clone(), self.pods[pod].address);
        self.start(&netns, &format!("serve {port}"));
        SocketAddr::new(address, port)
    }

    /// What a client in `netns` got from `destination`.
    pub fn call(&self, netns: &str, destination: SocketAddr) -> String {
        self.ask(netns, &format!("call {destination}"))
    }

    /// The same on a socket that says it is a proxy's own.
    pub fn call_for_itself(&self, netns: &str, destination: SocketAddr) -> String {
        self.ask(netns, &format!("prioritised {destination}"))
    }

    fn ask(&self, netns: &str, what: &str) -> String {
        let mut child = spawn(netns, what);
        let line = first_line(&mut child);
        let _ = child.wait();
        line
    }

    pub fn end_applications(&mut self) {
        for mut child in self.children.drain(..) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn netns(&self, pod: usize) -> String {
        self.pods[pod].netns.clone()
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        self.end_applications();
        for node in &self.nodes {
            let _ = node.engine.stop();
            let _ = detach(
                &node.name,
                &bpffs(),
                &cgroup_root(),
                std::path::Path::new("/proc"),
            );
        }
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

fn node(name: &str, policy: Arc<Mutex<Policy>>) -> Node {
    let (questions, inbox) = mpsc::channel();
    let options = EngineOptions {
        node: name.to_owned(),
        bpffs: bpffs(),
        cgroup_root: cgroup_root(),
        pods_cgroup: None,
        node_netns: None,
        host_proc: "/proc".into(),
        threads: 1,
        trust_domains: vec!["cluster.local".to_owned()],
        access_log: "off".to_owned(),
        access_log_format: LogFormat::Json,
        question_timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(2),
        version: "test".to_owned(),
        cluster_id: "Kubernetes".to_owned(),
    };
    let engine = Arc::new(Engine::new(options, Arc::new(Sink { questions })).unwrap());
    engine.start().unwrap();
    let released = Arc::new(Mutex::new(Vec::new()));
    let (answering, noted) = (Arc::downgrade(&engine), released.clone());
    std::thread::spawn(move || {
        for event in inbox {
            match (event, answering.upgrade()) {
                (EngineEvent::Questions(asked), Some(engine)) => {
                    let answers = asked
                        .into_iter()
                        .map(|(id, question)| answer(id, &question, &policy.lock().unwrap()));
                    let _ = engine.answer(answers.collect());
                }
                (EngineEvent::Released { pod }, _) => noted.lock().unwrap().push(pod.to_string()),
                _ => {}
            }
        }
    });
    Node {
        name: name.to_owned(),
        engine,
        released,
    }
}

/// Waits until `held` says yes.
pub fn eventually(what: &str, mut held: impl FnMut() -> bool) {
    static PAUSE: OnceLock<Duration> = OnceLock::new();
    let end = Instant::now() + PATIENCE;
    while !held() {
        assert!(Instant::now() < end, "{what} did not come about");
        std::thread::park_timeout(*PAUSE.get_or_init(|| Duration::from_millis(5)));
    }
}
