// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * One instance per pod network namespace: which listener gets a SYN. Everything that is neither the pod's own business on
 * lo nor a published probe goes to the engine, and where the engine has no listener the connection is refused; a pod may
 * keep what comes from outside, but for tunnels. Of UDP, only what the hooks turned round: name queries.
 */
#include "common.h"

#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define LOOPBACK_IFINDEX 1

char _license[] SEC("license") = "Dual BSD/GPL";

const volatile struct amb_lookup_config config = {};

/* Slots are kind * AMB_MAX_THREADS + thread. Holds listeners only, never redirects data. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, AMB_LISTENER_SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} amb_listeners SEC(".maps");

static __always_inline void read_tuple(struct bpf_sk_lookup *ctx, struct amb_tuple *tuple)
{
	READ_ADDRESS(&tuple->source, ctx->family, ctx->remote_ip4, ctx->remote_ip6);
	READ_ADDRESS(&tuple->destination, ctx->family, ctx->local_ip4, ctx->local_ip6);
	tuple->source_port = bpf_ntohs(ctx->remote_port);
	tuple->destination_port = ctx->local_port;
}

/* A function of the tuple alone: under SYN cookies the choice is made twice and must come out the same. */
static __always_inline __u32 hash(const struct amb_tuple *tuple)
{
	__u32 value = tuple->source_port << 16 | tuple->destination_port;

#pragma unroll
	for (int index = 0; index < 4; index++) {
		value ^= tuple->source.words[index] * 0x9e3779b1;
		value = (value << 13 | value >> 19) * 0x85ebca6b;
		value ^= tuple->destination.words[index] * 0xc2b2ae35;
		value = (value << 15 | value >> 17) * 0x27d4eb2f;
	}
	value ^= value >> 16;
	return value * 0x85ebca6b >> 8;
}

static __always_inline int is_own(const struct amb_address *address)
{
#pragma unroll
	for (int index = 0; index < AMB_MAX_ADDRESSES; index++)
		if (index < config.address_count && same_address(address, &config.addresses[index]))
			return 1;
	return 0;
}

/*
 * Traffic of the pod with itself. The kernel reports for it not lo but the interface that bears the address (IPv4: the output
 * route's rt_iif; IPv6: the idev of the route), so it is known by its source. From outside such a source is a martian to
 * IPv4; in IPv6 the answer to it stays in the pod and meets a reset, so a forger never gets a connection.
 */
static __always_inline int is_inner(struct bpf_sk_lookup *ctx, const struct amb_tuple *tuple)
{
	if (!is_loopback(&tuple->destination) && !is_own(&tuple->destination))
		return 0;
	if (ctx->ingress_ifindex == LOOPBACK_IFINDEX)
		return 1;
	return is_loopback(&tuple->source) || is_own(&tuple->source);
}

/* A pod whose own sockets take connections from outside, as gateways do. */
static __always_inline int is_bypassed(const struct amb_tuple *tuple)
{
	__u32 port = tuple->destination_port;

	if ((config.flags & AMB_LOOKUP_GUARDED) && (port == AMB_HANDOVER_PORT || port == AMB_ADMIN_PORT))
		return 0;
	return config.flags & AMB_LOOKUP_BYPASS;
}

static __always_inline int is_probe(const struct amb_tuple *tuple)
{
	struct amb_probe *probe = bpf_map_lookup_elem(&amb_probes, tuple);

	return probe && probe->pod_cookie == config.pod_cookie;
}

static __always_inline int assign(struct bpf_sk_lookup *ctx, const struct amb_tuple *tuple, __u32 kind, __u32 counter)
{
	__u32 threads = config.threads;
	__u32 slot = kind * AMB_MAX_THREADS + (threads ? hash(tuple) % threads : 0);
	struct bpf_sock *listener = bpf_map_lookup_elem(&amb_listeners, &slot);
	long failure;

	if (!listener) {
		count(AMB_DROPPED_NO_LISTENER);
		return SK_DROP;
	}
	/* Else a socket of the pod that joined the listener's reuseport group would share its connections. */
	failure = bpf_sk_assign(ctx, listener, BPF_SK_LOOKUP_F_NO_REUSEPORT | BPF_SK_LOOKUP_F_REPLACE);
	bpf_sk_release(listener);
	if (failure) {
		count(AMB_DROPPED_UNASSIGNABLE);
		return SK_DROP;
	}
	count(counter);
	return SK_PASS;
}

/*
 * A name query that the hooks turned round. Where the socket has just gone, no application's that is bound to port 53 may
 * take what was meant for somebody else.
 */
static __always_inline int assign_dns(struct bpf_sk_lookup *ctx)
{
	__u64 cookie = config.pod_cookie;
	struct amb_tuple tuple;
	struct bpf_sock *sk;
	long failure;

	if (ctx->local_port != AMB_DNS_PORT || ctx->ingress_ifindex != LOOPBACK_IFINDEX)
		return SK_PASS;
	read_tuple(ctx, &tuple);
	if (is_loopback(&tuple.destination) || is_own(&tuple.destination))
		return SK_PASS;
	/*
	 * To an address of the namespace that is not one of the pod's, as the kernel sends it: also the engine's own query, where the
	 * resolver that the pod asks sits there.
	 */
	if (same_address(&tuple.source, &tuple.destination))
		return SK_PASS;
	sk = bpf_map_lookup_elem(&amb_dns, &cookie);
	if (!sk) {
		count(AMB_DROPPED_NO_DNS);
		return SK_DROP;
	}
	failure = bpf_sk_assign(ctx, sk, BPF_SK_LOOKUP_F_NO_REUSEPORT | BPF_SK_LOOKUP_F_REPLACE);
	bpf_sk_release(sk);
	count(failure ? AMB_DROPPED_UNASSIGNABLE : AMB_LOOKUP_DNS);
	return failure ? SK_DROP : SK_PASS;
}

SEC("sk_lookup")
int amb_lookup(struct bpf_sk_lookup *ctx)
{
	struct amb_tuple tuple;

	if (ctx->protocol == IPPROTO_UDP)
		return assign_dns(ctx);
	if (ctx->protocol != IPPROTO_TCP)
		return SK_PASS;
	read_tuple(ctx, &tuple);
	if (is_inner(ctx, &tuple)) {
		count(AMB_LOOKUP_OWN);
		return SK_PASS;
	}
	if (ctx->ingress_ifindex == LOOPBACK_IFINDEX)
		return assign(ctx, &tuple, AMB_OUTBOUND, AMB_LOOKUP_OUTBOUND);
	if (tuple.destination_port == AMB_HBONE_PORT)
		return assign(ctx, &tuple, AMB_HBONE, AMB_LOOKUP_HBONE);
	if (is_probe(&tuple)) {
		count(AMB_PROBE_PASSED);
		return SK_PASS;
	}
	if (is_bypassed(&tuple)) {
		count(AMB_LOOKUP_BYPASSED);
		return SK_PASS;
	}
	return assign(ctx, &tuple, AMB_PLAINTEXT, AMB_LOOKUP_PLAINTEXT);
}
