//! Two nodes made of network namespaces, each with an engine of its own in this process, and applications in processes of
//! their own: the engine's process is exempt from capture.
#![allow(dead_code, clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use ambit_engine::api::{
    Answer, AnswerMask, Endpoint, EndpointSet, EngineEvent, EngineOptions, EventSink,
    IdentityCertificate, InboundVerdict, LogFormat, OutboundAction, OutboundVerdict, PodSpec,
    Protocol, Question, Verdict,
};
use ambit_engine::engine::{Engine, detach};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};

static NEXT: AtomicU32 = AtomicU32::new(0);
const CHILD: &str = "AMBIT_TEST_CHILD";
const PATIENCE: Duration = Duration::from_secs(10);

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

pub struct Pod {
    pub uid: Arc<str>,
    pub netns: String,
    pub address: IpAddr,
    pub identity: Arc<str>,
    pub node: usize,
}

#[derive(Default)]
pub struct Policy {
    /// Identities that no pod lets in; the empty text stands for plaintext.
    pub denied: Vec<String>,
    pub same_node_over_tls: bool,
}

pub struct Mesh {
    id: String,
    bridge: String,
    pub nodes: Vec<Node>,
    pub pods: Vec<Pod>,
    pub policy: Arc<Mutex<Policy>>,
    names: Vec<String>,
    children: Vec<Child>,
    authority: Authority,
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
             ip netns exec {name} sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.tcp_congestion_control=reno"
        ));
        self.names.push(name.clone());
        name
    }

    /// A pod, enrolled, with its certificate, and known to every node as an endpoint of itself.
    pub fn pod(&mut self, host: u8, node: usize) -> usize {
        let netns = self.outsider(host);
        let pod = Pod {
            uid: format!("uid-{}-{host}", self.id).into(),
            netns: netns.clone(),
            address: format!("10.9.0.{host}").parse().unwrap(),
            identity: format!("spiffe://cluster.local/ns/default/sa/p{host}").into(),
            node,
        };
        let engine = &self.nodes[node].engine;
        engine
            .set_identity(self.authority.issue(&pod.identity))
            .unwrap();
        engine.enrol(self.spec(&pod)).unwrap();
        self.announce(&pod);
        self.pods.push(pod);
        self.pods.len() - 1
    }

    fn spec(&self, pod: &Pod) -> PodSpec {
        PodSpec {
            uid: pod.uid.clone(),
            netns: Path::new("/run/netns").join(&pod.netns),
            addresses: vec![pod.address],
            identity: pod.identity.clone(),
            workload: pod.uid.clone(),
            probe_ports: vec![],
        }
    }

    fn announce(&self, pod: &Pod) {
        for (index, node) in self.nodes.iter().enumerate() {
            let endpoint = Endpoint {
                workload: pod.uid.clone(),
                pod_uid: Some(pod.uid.clone()),
                address: pod.address,
                port: 0,
                protocol: Protocol::Hbone,
                identities: Arc::from([pod.identity.clone()]),
                weight: 1,
                local: index == pod.node,
                authority: None,
            };
            let id = pod.address.to_string().into();
            node.engine
                .set_endpoint_set(EndpointSet {
                    id,
                    version: 1,
                    endpoints: vec![endpoint],
                })
                .unwrap();
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
        let mut child = spawn(netns, &format!("call {destination}"));
        let line = first_line(&mut child);
        let _ = child.wait();
        line
    }

    pub fn netns(&self, pod: usize) -> String {
        self.pods[pod].netns.clone()
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
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

fn answer(id: u64, question: &Question, policy: &Policy) -> Answer {
    let verdict = match question {
        Question::Outbound(asked) => Verdict::Outbound(OutboundVerdict {
            action: OutboundAction::Connect {
                endpoint_set: (asked.destination.to_string().into(), 1),
                allow_local: !policy.same_node_over_tls,
            },
            service: None,
        }),
        Question::Inbound(asked) => {
            let denied = policy
                .denied
                .iter()
                .any(|denied| **denied == *asked.peer.as_deref().unwrap_or_default());
            Verdict::Inbound(InboundVerdict {
                allow: !denied,
                policy: denied.then(|| "default/deny".into()),
                reason: denied.then(|| "policy_denied".into()),
                source_workload: None,
                service: None,
            })
        }
    };
    let mask = AnswerMask {
        prefix_length: 32,
        any_port: false,
        any_destination: false,
    };
    let mask = match question {
        Question::Outbound(_) => AnswerMask {
            any_destination: true,
            ..mask
        },
        Question::Inbound(_) => mask,
    };
    Answer {
        id,
        generation: 1,
        keys: vec![],
        mask,
        verdict,
    }
}

/// A client that has connected and says nothing yet.
pub struct Held {
    child: Child,
    lines: Box<dyn Iterator<Item = String>>,
}

impl Held {
    pub fn start(netns: &str, destination: SocketAddr) -> Self {
        let mut child = spawn(netns, &format!("hold {destination}"));
        let output = BufReader::new(child.stdout.take().unwrap());
        let lines = output.lines().map_while(Result::ok);
        let said = lines.filter_map(|line| line.split("SAYS ").nth(1).map(str::to_owned));
        let mut held = Held {
            child,
            lines: Box::new(said),
        };
        assert_eq!(held.lines.next().as_deref(), Some("open"));
        held
    }

    /// Lets it speak; what it got.
    pub fn end(mut self) -> String {
        drop(self.child.stdin.take());
        let got = self.lines.next().expect("an answer");
        let _ = self.child.wait();
        got
    }
}

fn spawn(netns: &str, what: &str) -> Child {
    Command::new("ip")
        .args(["netns", "exec", netns])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(CHILD, what)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn first_line(child: &mut Child) -> String {
    let output = BufReader::new(child.stdout.take().unwrap());
    let said = output
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.split("SAYS ").nth(1).map(str::to_owned));
    said.expect("the application said something")
}

/// What a process of this test binary does when it is an application; `false` in the test process itself.
pub fn act_as_child() -> bool {
    let Ok(what) = std::env::var(CHILD) else {
        return false;
    };
    let words: Vec<&str> = what.split(' ').collect();
    match words[0] {
        "serve" => serve(words[1].parse().unwrap()),
        "call" => println!("SAYS {}", call(words[1].parse().unwrap(), || ())),
        "hold" => println!("SAYS {}", call(words[1].parse().unwrap(), wait_for_word)),
        other => panic!("no such application: {other}"),
    }
    true
}

/// Answers each question with the client's address.
fn serve(port: u16) {
    let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
    println!("SAYS ready");
    let end = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        let (mut stream, peer) = listener.accept().unwrap();
        let mut question = String::new();
        let _ = stream.read_to_string(&mut question);
        let _ = write!(stream, "{question} from {}", peer.ip());
    }
}

/// Until the test closes our standard input.
fn wait_for_word() {
    println!("SAYS open");
    let _ = std::io::stdin().read_to_string(&mut String::new());
}

fn call(destination: SocketAddr, connected: impl Fn()) -> String {
    let exchange = || {
        let mut stream = TcpStream::connect_timeout(&destination, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        assert_eq!(stream.peer_addr()?, destination);
        connected();
        stream.write_all(b"hello")?;
        stream.shutdown(Shutdown::Write)?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).map(|_| reply)
    };
    exchange().unwrap_or_else(|error| format!("error {:?}", error.kind()))
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

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: String,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = parameters.self_signed(&key).unwrap();
        Authority {
            issuer: Issuer::new(parameters, key),
            root: root.pem(),
        }
    }

    pub fn issue(&self, spiffe_id: &str) -> IdentityCertificate {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.subject_alt_names = vec![SanType::URI(spiffe_id.try_into().unwrap())];
        parameters.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let leaf = parameters.signed_by(&key, &self.issuer).unwrap();
        IdentityCertificate {
            spiffe_id: spiffe_id.into(),
            certificate_chain: leaf.pem(),
            private_key: key.serialize_pem(),
            roots: self.root.clone(),
        }
    }
}
