//! The look-up program's choice for SYNs from outside, asked of the kernel's own BPF_PROG_TEST_RUN. It leaves the interface at 0
//! and refuses any other, so what arrives on `lo` is tested with real sockets only.

#![allow(clippy::unwrap_used)]

use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};

use socket2::SockRef;

use super::{LookupTemplate, new_listener_map};
use crate::abi::{
    Address, COUNTERS, LOOKUP_BYPASS, LOOKUP_GUARDED, ListenerKind, LookupConfig, bytes_of,
};
use crate::bpf;
use crate::hooks::SharedMaps;
use crate::listeners;
use crate::options::ThreadListeners;

const POD: u64 = 7;
const PASS: u32 = 1;
const DROP: u32 = 0;
const TCP: u32 = 6;
const UDP: u32 = 17;

/// Key and value of `amb_probes`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Tuple {
    source: Address,
    destination: Address,
    source_port: u32,
    destination_port: u32,
}
// SAFETY: plain integers without holes.
unsafe impl aya::Pod for Tuple {}

struct Syn {
    from: (&'static str, u16),
    to: (&'static str, u16),
    protocol: u32,
}

impl Syn {
    /// `struct bpf_sk_lookup`: cookie, family, protocol, remote v4, v6, port, local v4, v6, port, ifindex.
    fn context(&self) -> Vec<u8> {
        let (remote, local): (IpAddr, IpAddr) =
            (self.from.0.parse().unwrap(), self.to.0.parse().unwrap());
        let family: u32 = if local.is_ipv4() { 2 } else { 10 };
        let mut context = vec![0u8; 8];
        context.extend(family.to_ne_bytes());
        context.extend(self.protocol.to_ne_bytes());
        for (address, port) in [
            (
                remote,
                [self.from.1.to_be_bytes().to_vec(), vec![0, 0]].concat(),
            ),
            (local, u32::from(self.to.1).to_ne_bytes().to_vec()),
        ] {
            let mut octets = [0u8; 20];
            match address {
                IpAddr::V4(four) => octets[..4].copy_from_slice(&four.octets()),
                IpAddr::V6(six) => octets[4..].copy_from_slice(&six.octets()),
            }
            context.extend(octets);
            context.extend(port);
        }
        context.extend(0u32.to_ne_bytes());
        context.resize(context.len().next_multiple_of(8), 0);
        context
    }
}

struct Bench {
    program: OwnedFd,
    listeners: Vec<ThreadListeners>,
    probes: OwnedFd,
}

/// `None` without root.
fn bench(threads: usize) -> Option<Bench> {
    bench_with(threads, 0)
}

fn bench_with(threads: usize, flags: u32) -> Option<Bench> {
    const HASH: u32 = 1;
    const PER_CPU_ARRAY: u32 = 6;
    const SOCKHASH: u32 = 18;
    if crate::sys::effective_uid() != 0 {
        println!("skipped: needs root");
        assert_ne!(
            std::env::var("CI").as_deref(),
            Ok("true"),
            "CI must run this as root"
        );
        return None;
    }
    let counters = bpf::map_create(
        PER_CPU_ARRAY,
        "amb_counters",
        (4, 8),
        COUNTERS.len() as u32,
        false,
    )
    .unwrap();
    let probes = bpf::map_create(
        HASH,
        "amb_probes",
        (size_of::<Tuple>() as u32, 16),
        16,
        false,
    )
    .unwrap();
    let dns = bpf::map_create(SOCKHASH, "amb_dns", (8, 8), 4, false).unwrap();
    let shared = SharedMaps {
        counters,
        probes: bpf::duplicate(&probes).unwrap(),
        dns,
    };
    let template = LookupTemplate::new(shared).unwrap();
    let map = new_listener_map().unwrap();
    let listeners = listeners::make(threads).unwrap();
    listeners::fill_slots(map.as_fd(), &listeners).unwrap();
    let mut config = LookupConfig {
        pod_cookie: POD,
        threads: threads as u32,
        address_count: 2,
        flags,
        ..LookupConfig::default()
    };
    for (slot, address) in config.addresses.iter_mut().zip(["10.9.0.2", "fd09::2"]) {
        *slot = address.parse::<IpAddr>().unwrap().into();
    }
    let program = template.load(&config, map.as_fd()).unwrap();
    Some(Bench {
        program,
        listeners,
        probes,
    })
}

impl Bench {
    /// The verdict and the kind of the listener that was chosen.
    fn decide(&self, syn: &Syn) -> (u32, Option<ListenerKind>) {
        let mut context = syn.context();
        let verdict = bpf::test_run(self.program.as_fd(), &mut context, true).unwrap();
        let cookie = u64::from_ne_bytes(context[..8].try_into().unwrap());
        let kind = ListenerKind::ALL.into_iter().find(|kind| {
            self.listeners
                .iter()
                .any(|set| cookie == socket_cookie(set, *kind))
        });
        assert!(cookie == 0 || kind.is_some(), "a socket that is not ours");
        (verdict, kind)
    }

    fn publish(&self, syn: &Syn, pod: u64) {
        let tuple = Tuple {
            source: syn.from.0.parse::<IpAddr>().unwrap().into(),
            destination: syn.to.0.parse::<IpAddr>().unwrap().into(),
            source_port: syn.from.1.into(),
            destination_port: syn.to.1.into(),
        };
        let value = [1u64.to_ne_bytes(), pod.to_ne_bytes()].concat();
        bpf::map_update(self.probes.as_fd(), bytes_of(&tuple), &value).unwrap();
    }
}

fn socket_cookie(set: &ThreadListeners, kind: ListenerKind) -> u64 {
    let listener = match kind {
        ListenerKind::Outbound => &set.outbound,
        ListenerKind::Plaintext => &set.plaintext,
        ListenerKind::Hbone => &set.hbone,
    };
    SockRef::from(listener).cookie().unwrap()
}

fn syn(from: (&'static str, u16), to: (&'static str, u16)) -> Syn {
    Syn {
        from,
        to,
        protocol: TCP,
    }
}

#[test]
fn each_kind_of_syn_has_its_listener() {
    let Some(bench) = bench(2) else { return };
    use ListenerKind::{Hbone, Plaintext};
    let cases = [
        (syn(("10.9.0.9", 4000), ("10.9.0.2", 80)), Some(Plaintext)),
        (syn(("fd09::9", 4000), ("fd09::2", 80)), Some(Plaintext)),
        (syn(("fe80::9", 4000), ("fe80::2", 80)), Some(Plaintext)),
        (syn(("10.9.0.9", 4000), ("10.9.0.2", 15008)), Some(Hbone)),
        (syn(("fd09::9", 4000), ("fd09::2", 15008)), Some(Hbone)),
        // Traffic of the pod with itself, as the kernel shows it.
        (syn(("10.9.0.2", 4000), ("10.9.0.2", 15008)), None),
        (
            Syn {
                protocol: UDP,
                ..syn(("10.9.0.9", 4000), ("10.9.0.2", 53))
            },
            None,
        ),
    ];
    for (syn, expected) in cases {
        assert_eq!(
            bench.decide(&syn),
            (PASS, expected),
            "{:?} to {:?}",
            syn.from,
            syn.to
        );
    }
}

#[test]
fn without_listeners_a_syn_is_dropped_unless_it_stays_in_the_pod() {
    let Some(mut bench) = bench(1) else { return };
    bench.listeners.clear();
    assert_eq!(
        bench.decide(&syn(("10.9.0.9", 4000), ("10.9.0.2", 80))),
        (DROP, None)
    );
    assert_eq!(
        bench.decide(&syn(("10.9.0.9", 4000), ("10.9.0.2", 15008))),
        (DROP, None)
    );
    assert_eq!(
        bench.decide(&syn(("fd09::2", 4000), ("fd09::2", 80))),
        (PASS, None)
    );
}

#[test]
fn a_published_probe_passes_for_its_own_pod_and_tuple_only() {
    let Some(bench) = bench(1) else { return };
    let probe = syn(("10.9.0.1", 5000), ("10.9.0.2", 8081));
    bench.publish(&probe, POD + 1);
    assert_eq!(bench.decide(&probe), (PASS, Some(ListenerKind::Plaintext)));
    bench.publish(&probe, POD);
    assert_eq!(bench.decide(&probe), (PASS, None));
    let other = syn(("10.9.0.1", 5001), ("10.9.0.2", 8081));
    assert_eq!(bench.decide(&other), (PASS, Some(ListenerKind::Plaintext)));
    let hbone = syn(("10.9.0.1", 5000), ("10.9.0.2", 15008));
    bench.publish(&hbone, POD);
    assert_eq!(bench.decide(&hbone), (PASS, Some(ListenerKind::Hbone)));
}

#[test]
fn where_inbound_is_bypassed_only_tunnels_have_a_listener() {
    let Some(bench) = bench_with(1, LOOKUP_BYPASS) else {
        return;
    };
    use ListenerKind::Hbone;
    let from = ["10.9.0.9", "fd09::9"].map(|source| (source, 4000));
    for (port, expected) in [(80, None), (15008, Some(Hbone)), (15088, None)] {
        let four = bench.decide(&syn(from[0], ("10.9.0.2", port)));
        let six = bench.decide(&syn(from[1], ("fd09::2", port)));
        assert_eq!([four, six], [(PASS, expected); 2], "{port}");
    }
}

#[test]
fn a_bypass_spares_the_guarded_ports_of_a_proxy() {
    let Some(bench) = bench_with(1, LOOKUP_BYPASS | LOOKUP_GUARDED) else {
        return;
    };
    for (port, expected) in [
        (80, None),
        (15000, Some(ListenerKind::Plaintext)),
        (15088, Some(ListenerKind::Plaintext)),
    ] {
        let decided = bench.decide(&syn(("10.9.0.9", 4000), ("10.9.0.2", port)));
        assert_eq!(decided, (PASS, expected), "{port}");
    }
}

#[test]
fn the_choice_of_thread_is_stable_and_even() {
    let Some(bench) = bench(4) else { return };
    let mut counts = [0u32; 4];
    for port in 0..2000u16 {
        let syn = syn(("10.9.0.9", 32_768 + port), ("10.9.0.2", 80));
        let cookie = || {
            let mut context = syn.context();
            bpf::test_run(bench.program.as_fd(), &mut context, true).unwrap();
            u64::from_ne_bytes(context[..8].try_into().unwrap())
        };
        let first = cookie();
        assert_eq!(first, cookie());
        let thread = bench
            .listeners
            .iter()
            .position(|set| socket_cookie(set, ListenerKind::Plaintext) == first);
        counts[thread.unwrap()] += 1;
    }
    assert!(
        counts.iter().all(|count| (350..650).contains(count)),
        "{counts:?}"
    );
}
