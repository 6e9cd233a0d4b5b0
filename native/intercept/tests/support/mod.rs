//! Scratch nodes: one namespace with a bridge, one per pod, a node name of its own, and an engine that says what it accepted.
#![allow(dead_code, clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ambit_intercept::{CapturedPod, Interception, Netns, Options, PodNetwork, Tampering};

pub const PATIENCE: Duration = Duration::from_secs(5);
static NEXT: AtomicU32 = AtomicU32::new(0);

/// Without root there is nothing to test; in CI that is a failure.
pub fn skipped() -> bool {
    let root = std::fs::read_to_string("/proc/self/status")
        .unwrap()
        .lines()
        .any(|line| line.starts_with("Uid:\t0\t"));
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

pub fn run(command: &str) -> String {
    let output = Command::new("sh").arg("-c").arg(command).output().unwrap();
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

pub fn bpffs() -> PathBuf {
    let path = Path::new("/sys/fs/bpf");
    if !run("cat /proc/mounts")
        .lines()
        .any(|line| line.split(' ').nth(1) == Some("/sys/fs/bpf"))
    {
        run("mount -t bpf bpf /sys/fs/bpf");
    }
    path.to_owned()
}

pub fn cgroup_root() -> PathBuf {
    let mounts = run("cat /proc/mounts");
    let line = mounts
        .lines()
        .find(|line| line.split(' ').nth(2) == Some("cgroup2"))
        .expect("cgroup2 is mounted");
    PathBuf::from(line.split(' ').nth(1).unwrap())
}

/// A node of namespaces. Everything bears its run id and goes with it.
pub struct Rig {
    pub id: String,
    pub node: String,
    names: Vec<String>,
}

pub struct ScratchPod {
    pub network: PodNetwork,
    pub netns: Arc<Netns>,
    pub name: String,
    pub v4: IpAddr,
    pub v6: IpAddr,
}

impl Rig {
    pub fn new() -> Self {
        let id = format!(
            "{:x}t{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let mut rig = Self {
            node: format!("test.{id}"),
            id,
            names: Vec::new(),
        };
        let bridge = rig.namespace("node");
        run(&format!(
            "ip -n {bridge} link add br0 type bridge && ip -n {bridge} link set br0 up &&
             ip -n {bridge} addr add 10.9.0.1/24 dev br0 && ip -n {bridge} addr add fd09::1/64 dev br0 nodad"
        ));
        rig
    }

    pub fn namespace(&mut self, name: &str) -> String {
        let full = format!("amb-{}-{name}", self.id);
        run(&format!(
            "ip netns add {full} && ip -n {full} link set lo up"
        ));
        self.names.push(full.clone());
        full
    }

    pub fn node_netns(&self) -> PathBuf {
        PathBuf::from(format!("/run/netns/amb-{}-node", self.id))
    }

    /// A namespace on the bridge with an address of each family, strict rp_filter, and everything else routed to the node.
    pub fn pod(&mut self, host: u8) -> ScratchPod {
        let name = self.namespace(&format!("p{host}"));
        let bridge = format!("amb-{}-node", self.id);
        run(&format!(
            "ip -n {bridge} link add v{host} type veth peer name eth0 netns {name} &&
             ip -n {bridge} link set v{host} master br0 up && ip -n {name} link set eth0 up &&
             ip -n {name} addr add 10.9.0.{host}/24 dev eth0 && ip -n {name} addr add fd09::{host}/64 dev eth0 nodad &&
             ip -n {name} route add default via 10.9.0.1 && ip -n {name} -6 route add default via fd09::1 &&
             ip netns exec {name} sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1 net.ipv4.conf.lo.rp_filter=1"
        ));
        let path = PathBuf::from(format!("/run/netns/{name}"));
        let (v4, v6) = (
            format!("10.9.0.{host}").parse().unwrap(),
            format!("fd09::{host}").parse().unwrap(),
        );
        let network = PodNetwork {
            uid: format!("uid/{}.{host}", self.id).into(),
            netns: path.clone(),
            addresses: vec![v4, v6],
            probe_ports: vec![],
            guarded: false,
            bypass_inbound: false,
        };
        ScratchPod {
            network,
            netns: Arc::new(Netns::open(&path).unwrap()),
            name,
            v4,
            v6,
        }
    }

    pub fn options(&self) -> Options {
        Options {
            node: self.node.clone(),
            bpffs: bpffs(),
            cgroup_root: cgroup_root(),
            pods_cgroup: None,
            node_netns: Some(self.node_netns()),
            host_proc: "/proc".into(),
            threads: 2,
        }
    }

    pub fn open(&self) -> (Interception, mpsc::Receiver<Tampering>) {
        let (sender, receiver) = mpsc::channel();
        let sink = Arc::new(move |tampering| drop(sender.send(tampering)));
        (Interception::open(self.options(), sink).unwrap(), receiver)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = ambit_intercept::detach(
            &self.node,
            &bpffs(),
            &cgroup_root(),
            std::path::Path::new("/proc"),
        );
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

/// Accepts on every listener and answers each connection with `kind peer local`, then closes.
pub struct Engine {
    listeners: Vec<Arc<TcpListener>>,
    threads: Vec<JoinHandle<()>>,
}

impl Engine {
    pub fn start(captured: CapturedPod, name: &'static str) -> Self {
        let mut engine = Self {
            listeners: vec![],
            threads: vec![],
        };
        for set in captured.listeners {
            for (kind, listener) in [
                ("outbound", set.outbound),
                ("plaintext", set.plaintext),
                ("hbone", set.hbone),
            ] {
                engine.serve(format!("{name}{kind}"), listener);
            }
        }
        engine
    }

    fn serve(&mut self, kind: String, listener: TcpListener) {
        listener.set_nonblocking(false).unwrap();
        let listener = Arc::new(listener);
        self.listeners.push(Arc::clone(&listener));
        self.threads.push(thread::spawn(move || {
            while let Ok((mut stream, peer)) = listener.accept() {
                let local = stream.local_addr().unwrap();
                let _ = writeln!(stream, "{kind} {} {}", plain(peer), plain(local));
                finish(&mut stream);
            }
        }));
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for listener in &self.listeners {
            let _ = socket2::SockRef::from(&**listener).shutdown(std::net::Shutdown::Both);
        }
        self.threads
            .drain(..)
            .for_each(|thread| thread.join().unwrap());
    }
}

/// Ends by FIN: closing with unread bytes would reset the connection.
fn finish(stream: &mut TcpStream) {
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let _ = stream.read_to_end(&mut Vec::new());
}

/// v4-mapped addresses as IPv4.
pub fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// An application in a namespace: answers `name peer` to each connection.
pub struct Application {
    listener: Arc<TcpListener>,
    thread: Option<JoinHandle<()>>,
    pub port: u16,
}

impl Application {
    pub fn start(netns: &Netns, address: &str, name: &'static str) -> Self {
        let listener = Arc::new(netns.enter(|| TcpListener::bind(address)).unwrap().unwrap());
        socket2::SockRef::from(&*listener).listen(1024).unwrap();
        let port = listener.local_addr().unwrap().port();
        let accepting = Arc::clone(&listener);
        let thread = thread::spawn(move || {
            while let Ok((mut stream, peer)) = accepting.accept() {
                let _ = writeln!(stream, "{name} {}", plain(peer));
                finish(&mut stream);
            }
        });
        Self {
            listener,
            thread: Some(thread),
            port,
        }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        let _ = socket2::SockRef::from(&*self.listener).shutdown(std::net::Shutdown::Both);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Another process, as the engine's own is exempt: what it prints, or `error: <errno name>`.
pub fn python(netns: &str, script: &str) -> String {
    python_below(&cgroup_root(), netns, script)
}

/// The same in a cgroup; it is entered first, as `ip netns exec` hides the cgroup mount behind a fresh /sys.
pub fn python_below(cgroup: &Path, netns: &str, script: &str) -> String {
    let prelude = "import socket,sys,os,errno\nfrom socket import *\n";
    let wrapped = format!(
        "{prelude}setdefaulttimeout(5)\ndef say(s):\n  s.settimeout(5)\n  d=b''\n  while not d.endswith(b'\\n'):\n    c=s.recv(4096)\n    if not c: break\n    d+=c\n  print(d.decode().strip())\n\
         try:\n{}\nexcept OSError as e:\n  print('error:',errno.errorcode.get(e.errno, str(e)))\n",
        script
            .lines()
            .map(|line| format!("  {line}\n"))
            .collect::<String>()
    );
    let enter = "echo $$ > \"$0/cgroup.procs\" && exec ip netns exec \"$1\" python3 -c \"$2\"";
    let output = Command::new("sh")
        .args(["-c", enter])
        .arg(cgroup)
        .args([netns, &wrapped])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    text.trim().to_owned()
}

/// Connects from another process in `netns` and returns the first line it hears.
pub fn call(netns: &str, address: IpAddr, port: u16) -> String {
    python(
        netns,
        &format!("say(create_connection(('{address}',{port})))"),
    )
}

/// Reads a line in this process.
pub fn line(mut stream: &TcpStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.trim().to_owned()
}

pub fn counter(interception: &Interception, name: &str) -> u64 {
    interception
        .counters()
        .into_iter()
        .find(|(known, _)| *known == name)
        .expect("a known counter")
        .1
}

/// A call to an address outside of every scratch network.
pub fn far(pod: &ScratchPod) -> String {
    call(&pod.name, "203.0.113.7".parse().unwrap(), 80)
}

/// What of our rules and routes is in the pod.
pub fn rules(pod: &ScratchPod) -> String {
    run(&format!(
        "ip -n {0} rule; ip -n {0} -6 rule; ip -n {0} route show table all | grep 15001 || true",
        pod.name
    ))
}

/// Our three settings.
pub fn settings(pod: &ScratchPod) -> String {
    let text = run(&format!(
        "ip netns exec {} sysctl -n net.ipv4.tcp_fwmark_accept net.ipv4.fwmark_reflect net.ipv6.fwmark_reflect",
        pod.name
    ));
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The node's pin folder.
pub fn pins(rig: &Rig) -> PathBuf {
    bpffs()
        .join("ambit")
        .join(rig.node.replace('.', "_2e"))
        .join(format!("v{}", ambit_intercept::abi::ABI))
}

/// A cgroup with one below it, gone with this value.
pub struct ScratchCgroup(pub PathBuf);

impl ScratchCgroup {
    pub fn new(rig: &Rig) -> Self {
        let path = cgroup_root().join(format!("ambit-test-{}", rig.id));
        std::fs::create_dir_all(path.join("pod")).unwrap();
        Self(path)
    }
}

impl Drop for ScratchCgroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(self.0.join("pod"));
        let _ = std::fs::remove_dir(&self.0);
    }
}
