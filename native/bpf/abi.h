/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * What the eBPF programs and user space share. native/intercept/src/abi.rs is its twin; a test compares sizes and offsets.
 * A change of any layout here needs a new AMB_ABI, which is part of the pin path: maps are never migrated in place.
 */
#ifndef AMBIT_ABI_H
#define AMBIT_ABI_H

#define AMB_ABI 1

/* Names are cut at 15 characters by the kernel. */
#define AMB_MAX_PODS 1024
#define AMB_MAX_PROBES 8192
#define AMB_MAX_PROBE_PORTS 16384
#define AMB_MAX_ADDRESSES 8
#define AMB_ENGINE_SLOTS 8
#define AMB_MAX_THREADS 16
#define AMB_LISTENER_SLOTS (3 * AMB_MAX_THREADS)
#define AMB_PROBES_PER_POD 256
#define AMB_HBONE_PORT 15008
/* Where a pod's proxy takes connections over from the engine, and where it is administered. */
#define AMB_HANDOVER_PORT 15088
#define AMB_ADMIN_PORT 15000
#define AMB_DNS_PORT 53
/* Bits of amb_pod.flags. */
#define AMB_POD_GUARDED 1
#define AMB_POD_DNS 2
/*
 * SO_PRIORITY by which a proxy's socket says that it is the proxy's own and dials for nobody else. Anybody may set up to 6; no
 * IP_TOS brings about this one. The twin of src/envoy/bootstrap.ts.
 */
#define AMB_OWN_PRIORITY 5
/* In SO_MARK of such a socket: tells the engine. */
#define AMB_OWN_MARK (1 << 25)
/* Bits of amb_lookup_config.flags. */
#define AMB_LOOKUP_BYPASS 1
#define AMB_LOOKUP_GUARDED 2
/* In SO_MARK, of connected UDP sockets whose datagrams to port 53 turn round on lo. */
#define AMB_DNS_MARK (1 << 26)
/* 127.53.53.53, the source of such datagrams of unconnected sockets; for IPv6 it is ::1. */
#define AMB_DNS_SOURCE 0x7f353535

/* IPv4 is held as ::ffff:a.b.c.d, so that one comparison serves both families. Network byte order. */
struct amb_address {
	__u32 words[4];
};

/* Key of amb_pods is the netns cookie. */
struct amb_pod {
	__u64 netns_inode;
	/* FNV-1a of the pod's uid: finds the entry when only the pins' name is left. */
	__u64 uid_hash;
	/* 0: withdrawn, the pod is as if it were not here; what was set up in it awaits release. */
	__u32 mark;
	__u32 address_count;
	struct amb_address addresses[AMB_MAX_ADDRESSES];
	/* Settings as they were before enrolment: tcp_fwmark_accept, fwmark_reflect of IPv4 and of IPv6; 255: absent. */
	__u8 previous[4];
	/* AMB_POD_GUARDED: the pod's own processes may not connect to its hand-over and administration ports. */
	__u32 flags;
};

/*
 * A process whose sockets are left alone, as the kernel counts it; tgid 0 is a free slot. The order of registration says
 * which process is the newest and so the one that repairs.
 */

struct amb_engine {
	__u32 tgid;
	__u32 order;
	__u64 start_boottime;
};

struct amb_probe_port {
	struct amb_address address;
	__u32 port;
	__u32 padding;
};

/* Ports in host byte order. */
struct amb_tuple {
	struct amb_address source;
	struct amb_address destination;
	__u32 source_port;
	__u32 destination_port;
};

struct amb_probe {
	__u64 socket_cookie;
	__u64 pod_cookie;
};

/* Rodata of hooks.bpf.c. */
struct amb_hooks_config {
	__u64 node_cookie;
	__u64 pods_cgroup;
};

/* Rodata of lookup.bpf.c. */
struct amb_lookup_config {
	__u64 pod_cookie;
	__u32 threads;
	__u32 address_count;
	struct amb_address addresses[AMB_MAX_ADDRESSES];
	/*
	 * AMB_LOOKUP_BYPASS: what comes from outside finds the pod's own sockets, but for tunnels. AMB_LOOKUP_GUARDED: and but for
	 * the ports of its proxy that nobody may connect to.
	 */
	__u32 flags;
	__u32 padding;
};

enum amb_listener_kind {
	AMB_OUTBOUND = 0,
	AMB_PLAINTEXT = 1,
	AMB_HBONE = 2,
};

/* One per exit that is not the plain "not ours". */
enum amb_counter {
	AMB_CAPTURED = 0,
	AMB_CONNECT_ENGINE,
	AMB_CONNECT_OWN,
	AMB_CONNECT_LOOPBACK,
	AMB_CONNECT_LINK_LOCAL,
	AMB_REFUSED_UNMARKABLE,
	AMB_LOOKUP_OUTBOUND,
	AMB_LOOKUP_PLAINTEXT,
	AMB_LOOKUP_HBONE,
	AMB_LOOKUP_OWN,
	AMB_PROBE_PASSED,
	AMB_DROPPED_NO_LISTENER,
	AMB_DROPPED_UNASSIGNABLE,
	AMB_PROBE_PUBLISHED,
	AMB_PROBE_CLOSED,
	AMB_PROBE_OVER_QUOTA,
	AMB_PROBE_UNPUBLISHED,
	AMB_PROBE_FROM_POD,
	AMB_REFUSED_CLOSED,
	AMB_REFUSED_GUARDED,
	AMB_DNS_CAPTURED,
	AMB_DNS_OPEN,
	AMB_DNS_BOUND,
	AMB_DNS_REFUSED,
	AMB_LOOKUP_DNS,
	AMB_DROPPED_NO_DNS,
	AMB_LOOKUP_BYPASSED,
	AMB_COUNTERS,
};

#endif
