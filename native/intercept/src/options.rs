//! What the caller says and what it is told: plain data.

use std::net::{IpAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use crate::abi;
use crate::netns::Netns;

/// How this process takes part in interception on its node.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names the pin folder; two nodes on one machine have two names.
    pub node: String,
    /// A mounted bpffs that outlives this process.
    pub bpffs: PathBuf,
    /// The real root of the cgroup2 tree.
    pub cgroup_root: PathBuf,
    /// Processes below this cgroup are never taken for the kubelet. `None`: every process of the node's netns may probe.
    pub pods_cgroup: Option<PathBuf>,
    /// The network namespace probes come from. `None`: the one this process runs in.
    pub node_netns: Option<PathBuf>,
    /// Where the node's processes are seen: in a container, `/proc` shows those of the container alone.
    pub host_proc: PathBuf,
    /// Engine threads, 1 to [`MAX_THREADS`]; each gets its own three listeners per pod.
    pub threads: usize,
}

/// The most engine threads a pod's listener map has slots for.
pub const MAX_THREADS: usize = 16;

/// The most addresses of one family that a pod may have.
pub const MAX_ADDRESSES: usize = 4;

/// Where a proxy takes connections over.
pub const HANDOVER_PORT: u16 = abi::HANDOVER_PORT;

/// The hand-over and the administration of a proxy.
pub const GUARDED_PORTS: [u16; 2] = [HANDOVER_PORT, abi::ADMIN_PORT];

/// In SO_MARK of an accepted connection that a [guarded](PodNetwork::guarded) pod's proxy made for itself, not for a client.
pub const OWN_MARK: u32 = abi::OWN_MARK;

/// A pod as the network sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodNetwork {
    pub uid: Arc<str>,
    /// A path that opens as a network namespace.
    pub netns: PathBuf,
    /// The first address of each family is the source of captured connections. Up to [`MAX_ADDRESSES`] a family.
    pub addresses: Vec<IpAddr>,
    /// Ports that the node's own processes may reach without identity.
    pub probe_ports: Vec<u16>,
    /// A proxy: its ports of [`GUARDED_PORTS`] take no connection of the pod's own processes, nor of probes.
    pub guarded: bool,
    /// Connections from outside find the pod's own sockets, but for those to the HBONE port and guarded ports.
    pub bypass_inbound: bool,
}

/// One thread's listeners in a pod: non-blocking, transparent, dual-stack, on ephemeral ports. An accepted socket's local
/// address is the original destination; IPv4 peers appear as v4-mapped IPv6 unless the kernel has no IPv6.
#[derive(Debug)]
pub struct ThreadListeners {
    pub outbound: TcpListener,
    pub plaintext: TcpListener,
    pub hbone: TcpListener,
}

/// What enrolment hands over; closing the listeners is the owner's part in withdrawing the pod.
#[derive(Debug)]
pub struct CapturedPod {
    pub uid: Arc<str>,
    pub netns: Arc<Netns>,
    /// One per engine thread, in order.
    pub listeners: Vec<ThreadListeners>,
    /// Ports the listeners are really bound to: a CONNECT to one of them must be refused.
    pub listener_ports: Vec<u16>,
    /// The bit that sends a packet round `lo`: [`crate::sockets::transparent_socket`] needs it, and every captured connection bears it.
    pub mark: u32,
    pub addresses: Vec<IpAddr>,
    /// Taken over from an earlier process rather than new.
    pub adopted: bool,
}

/// Something in the kernel was not as we left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tampering {
    /// `None`: it concerns the whole node.
    pub pod: Option<Arc<str>>,
    /// In words: which rule, route, setting or link.
    pub what: String,
    /// Whether it has been put back.
    pub restored: bool,
}

/// Called from the watching thread; must not block.
pub type TamperingSink = Arc<dyn Fn(Tampering) + Send + Sync>;

/// What the kernel says about our programs, asked at the time of the call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    pub effective: bool,
    /// In words, empty when effective.
    pub missing: Vec<String>,
}
