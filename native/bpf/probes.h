/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * The node's own probes: noted at connect(), published with their four-tuple before the SYN leaves, taken back when the
 * socket closes. Included by hooks.bpf.c after its configuration.
 */
#ifndef AMBIT_PROBES_H
#define AMBIT_PROBES_H

#include "common.h"

/* What a connect hook answers. */
#define ALLOW 1
#define REFUSE 0

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, AMB_MAX_PROBE_PORTS);
	__type(key, struct amb_probe_port);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} amb_probe_ports SEC(".maps");

/* Open published probes by pod cookie. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, AMB_MAX_PODS);
	__type(key, __u64);
	__type(value, __s64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} amb_quota SEC(".maps");

struct candidate {
	__u64 pod_cookie;
	struct amb_tuple tuple;
	__u32 published;
	__u32 padding;
};

/* Pinned, because a probe's socket may outlive the program that marked it. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct candidate);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} amb_candidates SEC(".maps");

/* Levels are counted from the machine's root, and how deep a node is that is a container itself, nobody tells. */
#define CGROUP_LEVELS 32

static __always_inline int is_below(__u64 cgroup)
{
	for (int level = 1; level < CGROUP_LEVELS; level++) {
		__u64 id = bpf_get_current_ancestor_cgroup_id(level);

		if (!id)
			return 0;
		if (id == cgroup)
			return 1;
	}
	return 0;
}

/* A connect() of one of the node's own processes to a port that a pod's probes name. */
static __always_inline int note_candidate(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
					  const struct amb_address *destination)
{
	struct amb_probe_port key = { .port = bpf_ntohs(ctx->user_port) };
	struct candidate *candidate;
	__u64 *pod_cookie;

	key.address = *destination;
	pod_cookie = bpf_map_lookup_elem(&amb_probe_ports, &key);
	if (!pod_cookie) {
		/* The socket may have been a probe before it was dissolved by AF_UNSPEC. */
		bpf_sk_storage_delete(&amb_candidates, sk);
		return ALLOW;
	}
	if (config.pods_cgroup && is_below(config.pods_cgroup)) {
		count(AMB_PROBE_FROM_POD);
		bpf_sk_storage_delete(&amb_candidates, sk);
		return ALLOW;
	}
	candidate = bpf_sk_storage_get(&amb_candidates, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (candidate)
		candidate->pod_cookie = *pod_cookie;
	else
		count(AMB_PROBE_UNPUBLISHED);
	return ALLOW;
}

static __always_inline void read_tuple(struct bpf_sock_ops *ops, struct amb_tuple *tuple)
{
	READ_ADDRESS(&tuple->source, ops->family, ops->local_ip4, ops->local_ip6);
	READ_ADDRESS(&tuple->destination, ops->family, ops->remote_ip4, ops->remote_ip6);
	tuple->source_port = ops->local_port;
	tuple->destination_port = bpf_ntohl(ops->remote_port);
}

static __always_inline void give_back(__s64 *open)
{
	/* Below zero when the pod was enrolled anew meanwhile: its count then began at zero. */
	if (__sync_fetch_and_add(open, -1) <= 0)
		__sync_fetch_and_add(open, 1);
}

/* Before the SYN leaves: the tuple is complete and the pod has not seen it. */
static __always_inline void publish(struct bpf_sock_ops *ops, struct candidate *candidate)
{
	struct amb_probe probe = { .pod_cookie = candidate->pod_cookie };
	__s64 *open = bpf_map_lookup_elem(&amb_quota, &candidate->pod_cookie);

	if (!open || !candidate->pod_cookie || candidate->published)
		return;
	if (__sync_fetch_and_add(open, 1) >= AMB_PROBES_PER_POD) {
		give_back(open);
		count(AMB_PROBE_OVER_QUOTA);
		return;
	}
	probe.socket_cookie = bpf_get_socket_cookie(ops);
	read_tuple(ops, &candidate->tuple);
	/* Without the callback nobody would take the tuple back, so no callback means no probe. */
	if (bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG) ||
	    bpf_map_update_elem(&amb_probes, &candidate->tuple, &probe, BPF_NOEXIST)) {
		give_back(open);
		count(AMB_PROBE_UNPUBLISHED);
		return;
	}
	candidate->published = 1;
	count(AMB_PROBE_PUBLISHED);
}

static __always_inline void unpublish(struct bpf_sock_ops *ops, struct candidate *candidate)
{
	struct amb_probe *probe;
	__s64 *open;

	if (!candidate->published)
		return;
	candidate->published = 0;
	probe = bpf_map_lookup_elem(&amb_probes, &candidate->tuple);
	/* Taken back already, with its count, when the pod was withdrawn. */
	if (!probe || probe->socket_cookie != bpf_get_socket_cookie(ops))
		return;
	bpf_map_delete_elem(&amb_probes, &candidate->tuple);
	open = bpf_map_lookup_elem(&amb_quota, &candidate->pod_cookie);
	if (open)
		give_back(open);
	count(AMB_PROBE_CLOSED);
}

#endif
