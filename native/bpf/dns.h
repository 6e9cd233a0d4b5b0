/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * The way of a pod's name queries: datagrams to port 53 turn round on lo while the pod's own socket of the engine is there to
 * answer, and go to the resolver as without a mesh while it is not. Nothing is rewritten that the application could see.
 * Included by hooks.bpf.c after what it uses of it.
 */
#ifndef AMBIT_DNS_H
#define AMBIT_DNS_H

#include "common.h"

static __always_inline int is_answered(__u64 cookie)
{
	struct bpf_sock *sk = bpf_map_lookup_elem(&amb_dns, &cookie);

	if (!sk)
		return 0;
	bpf_sk_release(sk);
	return 1;
}

/* DNS over TCP is captured like every connection, but like every name query not refused for want of an engine. */
static __always_inline int is_open_dns(const struct bpf_sock_addr *ctx, const struct amb_pod *pod, __u64 cookie)
{
	return (pod->flags & AMB_POD_DNS) && ctx->user_port == bpf_htons(AMB_DNS_PORT) && !is_answered(cookie);
}

/* The enrolled pod that sends a name query to somebody outside of itself; none: not ours. */
static __always_inline struct amb_pod *asking_pod(__u64 cookie, const struct amb_address *destination)
{
	struct amb_pod *pod = bpf_map_lookup_elem(&amb_pods, &cookie);

	if (!pod || !pod->mark || is_engine() || inner_kind(pod, destination) != AMB_COUNTERS)
		return 0;
	return pod;
}

/*
 * connect() chooses the route, and here the mark still has a say in it. The mark stays with the socket; it matters to
 * datagrams to port 53 only, and each connect() to such a port judges anew. What is bound to a device cannot leave by lo.
 */
static __always_inline int on_connect_udp(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
					  const struct amb_address *destination)
{
	__u64 cookie;
	int turned;

	if (ctx->user_port != bpf_htons(AMB_DNS_PORT) || ctx->protocol != IPPROTO_UDP)
		return ALLOW;
	cookie = bpf_get_netns_cookie(ctx);
	if (!asking_pod(cookie, destination))
		return ALLOW;
	turned = !sk->bound_dev_if && is_answered(cookie);
	if (turned != !!(sk->mark & AMB_DNS_MARK) && set_mark(ctx, sk->mark ^ AMB_DNS_MARK))
		turned = 0;
	count(turned ? AMB_DNS_CAPTURED : sk->bound_dev_if ? AMB_DNS_BOUND : AMB_DNS_OPEN);
	return ALLOW;
}

/*
 * A datagram with an address of its own: its mark has been read already (ipcm_init_sk() comes before the hook), but its source
 * is still ours to say. 1: it is to get the source that leads round.
 */
static __always_inline int is_turned(struct bpf_sock *sk, __u64 cookie)
{
	if (sk->bound_dev_if) {
		count(AMB_DNS_BOUND);
		return 0;
	}
	if (!is_answered(cookie)) {
		count(AMB_DNS_OPEN);
		return 0;
	}
	count(AMB_DNS_CAPTURED);
	/* Connected as well: the mark leads round without it. */
	return !(sk->mark & AMB_DNS_MARK);
}

/* A socket that is still marked when the engine has gone: this datagram is lost, so it is told; the next one goes out. */
static __always_inline int is_stale(struct bpf_sock_addr *ctx, struct bpf_sock *sk, __u64 cookie)
{
	if (!(sk->mark & AMB_DNS_MARK) || is_answered(cookie))
		return 0;
	set_mark(ctx, sk->mark & ~AMB_DNS_MARK);
	return 1;
}

static __always_inline int is_unspecified(const struct amb_address *address)
{
	return !(address->words[0] | address->words[1] | address->words[2] | address->words[3]);
}

/* Answers go to the pod's first address, so who insists on another source is left alone. */
static __always_inline int is_first(const struct amb_pod *pod, const struct amb_address *source, int mapped)
{
#pragma unroll
	for (int index = 0; index < AMB_MAX_ADDRESSES; index++)
		if (index < pod->address_count && is_mapped((const struct amb_address *)&pod->addresses[index]) == mapped)
			return same_address(source, &pod->addresses[index]);
	return 0;
}

SEC("cgroup/sendmsg4")
int amb_sendmsg4(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct amb_address destination, source;
	struct amb_pod *pod;
	__u64 cookie;

	if (ctx->user_port != bpf_htons(AMB_DNS_PORT) || ctx->protocol != IPPROTO_UDP || !sk)
		return ALLOW;
	cookie = bpf_get_netns_cookie(ctx);
	set_ipv4(&destination, ctx->user_ip4);
	pod = asking_pod(cookie, &destination);
	if (!pod)
		return ALLOW;
	if (is_stale(ctx, sk, cookie))
		return refuse(AMB_DNS_REFUSED);
	set_ipv4(&source, ctx->msg_src_ip4);
	if (source.words[3] && !is_first(pod, &source, 1)) {
		count(AMB_DNS_BOUND);
		return ALLOW;
	}
	if (is_turned(sk, cookie))
		ctx->msg_src_ip4 = bpf_htonl(AMB_DNS_SOURCE);
	return ALLOW;
}

SEC("cgroup/sendmsg6")
int amb_sendmsg6(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct amb_address destination, source;
	struct amb_pod *pod;
	__u64 cookie;

	if (ctx->user_port != bpf_htons(AMB_DNS_PORT) || ctx->protocol != IPPROTO_UDP || !sk)
		return ALLOW;
	cookie = bpf_get_netns_cookie(ctx);
	destination.words[0] = ctx->user_ip6[0];
	destination.words[1] = ctx->user_ip6[1];
	destination.words[2] = ctx->user_ip6[2];
	destination.words[3] = ctx->user_ip6[3];
	pod = asking_pod(cookie, &destination);
	if (!pod)
		return ALLOW;
	if (is_stale(ctx, sk, cookie))
		return refuse(AMB_DNS_REFUSED);
	source.words[0] = ctx->msg_src_ip6[0];
	source.words[1] = ctx->msg_src_ip6[1];
	source.words[2] = ctx->msg_src_ip6[2];
	source.words[3] = ctx->msg_src_ip6[3];
	if (!is_unspecified(&source) && !is_first(pod, &source, 0)) {
		count(AMB_DNS_BOUND);
		return ALLOW;
	}
	if (is_turned(sk, cookie)) {
		ctx->msg_src_ip6[0] = 0;
		ctx->msg_src_ip6[1] = 0;
		ctx->msg_src_ip6[2] = 0;
		ctx->msg_src_ip6[3] = bpf_htonl(1);
	}
	return ALLOW;
}

#endif
