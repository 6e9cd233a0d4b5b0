//! The twin of `native/bpf/abi.h`, in the same words and order; `tests/abi.rs` compares the two.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const ABI: u32 = 1;
pub const MAX_ADDRESSES: usize = 8;
pub const ENGINE_SLOTS: u32 = 8;
pub const MAX_THREADS: usize = 16;
pub const LISTENER_SLOTS: u32 = 3 * MAX_THREADS as u32;
/// Where a pod's proxy takes connections over from the engine, and where it is administered.
pub const HANDOVER_PORT: u16 = 15088;
pub const ADMIN_PORT: u16 = 15000;
pub const DNS_PORT: u16 = 53;
/// Bits of [`Pod::flags`].
pub const POD_GUARDED: u32 = 1;
pub const POD_DNS: u32 = 2;
/// SO_PRIORITY by which a proxy's socket says that it is the proxy's own and dials for nobody else.
pub const OWN_PRIORITY: u32 = 5;
/// In SO_MARK of such a socket.
pub const OWN_MARK: u32 = 1 << 25;
/// Bits of [`LookupConfig::flags`].
pub const LOOKUP_BYPASS: u32 = 1;
pub const LOOKUP_GUARDED: u32 = 2;
/// In SO_MARK, of connected UDP sockets whose datagrams to port 53 turn round on `lo`.
pub const DNS_MARK: u32 = 1 << 26;
/// Source of such datagrams of unconnected sockets; for IPv6 it is `::1`.
pub const DNS_SOURCE: u32 = 0x7f35_3535;
/// A setting that the namespace does not have.
pub const SETTING_ABSENT: u8 = 255;

/// IPv4 is held as `::ffff:a.b.c.d`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Address {
    pub words: [u32; 4],
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        let six = match address {
            IpAddr::V4(four) => four.to_ipv6_mapped(),
            IpAddr::V6(six) => six,
        };
        let octets = six.octets();
        let word = |index: usize| {
            u32::from_ne_bytes([
                octets[index],
                octets[index + 1],
                octets[index + 2],
                octets[index + 3],
            ])
        };
        Self {
            words: [word(0), word(4), word(8), word(12)],
        }
    }
}

impl From<Address> for IpAddr {
    fn from(address: Address) -> Self {
        let mut octets = [0u8; 16];
        for (index, word) in address.words.iter().enumerate() {
            octets[index * 4..index * 4 + 4].copy_from_slice(&word.to_ne_bytes());
        }
        let six = Ipv6Addr::from(octets);
        six.to_ipv4_mapped()
            .map_or(IpAddr::V6(six), |four: Ipv4Addr| IpAddr::V4(four))
    }
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    pub netns_inode: u64,
    pub uid_hash: u64,
    pub mark: u32,
    pub address_count: u32,
    pub addresses: [Address; MAX_ADDRESSES],
    pub previous: [u8; 4],
    pub flags: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Engine {
    pub tgid: u32,
    pub order: u32,
    pub start_boottime: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbePort {
    pub address: Address,
    pub port: u32,
    pub padding: u32,
}

/// Ports in host byte order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tuple {
    pub source: Address,
    pub destination: Address,
    pub source_port: u32,
    pub destination_port: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probe {
    pub socket_cookie: u64,
    pub pod_cookie: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HooksConfig {
    pub node_cookie: u64,
    pub pods_cgroup: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LookupConfig {
    pub pod_cookie: u64,
    pub threads: u32,
    pub address_count: u32,
    pub addresses: [Address; MAX_ADDRESSES],
    pub flags: u32,
    pub padding: u32,
}

/// Which listener; the value is the row of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ListenerKind {
    Outbound = 0,
    Plaintext = 1,
    Hbone = 2,
}

impl ListenerKind {
    pub const ALL: [Self; 3] = [Self::Outbound, Self::Plaintext, Self::Hbone];

    pub fn slot(self, thread: usize) -> u32 {
        self as u32 * MAX_THREADS as u32 + thread as u32
    }
}

/// Names of the counters, in the order of `enum amb_counter`.
pub const COUNTERS: [&str; 27] = [
    "captured",
    "connect_engine",
    "connect_own",
    "connect_loopback",
    "connect_link_local",
    "refused_unmarkable",
    "lookup_outbound",
    "lookup_plaintext",
    "lookup_hbone",
    "lookup_own",
    "probe_passed",
    "dropped_no_listener",
    "dropped_unassignable",
    "probe_published",
    "probe_closed",
    "probe_over_quota",
    "probe_unpublished",
    "probe_from_pod",
    "refused_closed",
    "refused_guarded",
    "dns_captured",
    "dns_open",
    "dns_bound",
    "dns_refused",
    "lookup_dns",
    "dropped_no_dns",
    "lookup_bypassed",
];

// SAFETY: plain integers without padding holes (the fields named `padding` fill them); every bit pattern is valid.
unsafe impl aya::Pod for Pod {}
// SAFETY: as above.
unsafe impl aya::Pod for Engine {}
// SAFETY: as above.
unsafe impl aya::Pod for ProbePort {}
// SAFETY: as above.
unsafe impl aya::Pod for Tuple {}
// SAFETY: as above.
unsafe impl aya::Pod for Probe {}
// SAFETY: as above.
unsafe impl aya::Pod for HooksConfig {}
// SAFETY: as above.
unsafe impl aya::Pod for LookupConfig {}

/// Finds a pod's entry when only its uid is known (FNV-1a, 64 bit).
pub fn uid_hash(uid: &str) -> u64 {
    uid.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Bytes of a plain ABI value, for rodata and test input.
pub fn bytes_of<T: aya::Pod>(value: &T) -> &[u8] {
    // SAFETY: `aya::Pod` promises plain data without uninitialised bytes; the slice borrows the value.
    unsafe { std::slice::from_raw_parts((value as *const T).cast(), size_of::<T>()) }
}
