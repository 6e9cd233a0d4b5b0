// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * Programs of the whole node, attached at the root of the cgroup2 tree: the choice of connections to capture, the way of name queries, and the publication of the node's own probes. They run for every process of the machine, so the first step is one map look-up
 * and the default is to leave the socket alone.
 */
#include "common.h"
#include <bpf/bpf_core_read.h>

#define ECONNREFUSED 111
#define SOL_SOCKET 1
#define SO_MARK 36
#define SO_BINDTOIFINDEX 62
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_MPTCP 262

char _license[] SEC("license") = "Dual BSD/GPL";

const volatile struct amb_hooks_config config = {};

#include "probes.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, AMB_MAX_PODS);
	__type(key, __u64);
	__type(value, struct amb_pod);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} amb_pods SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, AMB_ENGINE_SLOTS);
	__type(key, __u32);
	__type(value, struct amb_engine);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} amb_engines SEC(".maps");

/*
 * A socket of each engine that takes connections, in the engine's slot. The kernel takes it out when it is closed, and so also
 * when the process is killed.
 */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, AMB_ENGINE_SLOTS);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} amb_serving SEC(".maps");

static __always_inline void current_process(struct amb_engine *process)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

	process->tgid = bpf_get_current_pid_tgid() >> 32;
	process->order = 0;
	process->start_boottime = BPF_CORE_READ(task, group_leader, start_boottime);
}

static __always_inline int is_engine(void)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	/* A subflow that the kernel opens by itself runs in a thread of tgid 2 or so, never 0; 0 is a free slot. */
#pragma unroll
	for (__u32 slot = 0; slot < AMB_ENGINE_SLOTS; slot++) {
		__u32 key = slot;
		struct amb_engine *engine = bpf_map_lookup_elem(&amb_engines, &key);
		struct amb_engine process;

		if (!engine || !tgid || engine->tgid != tgid)
			continue;
		current_process(&process);
		if (process.start_boottime == engine->start_boottime)
			return 1;
	}
	return 0;
}

static __always_inline int is_own(const struct amb_pod *pod, const struct amb_address *destination)
{
#pragma unroll
	for (int index = 0; index < AMB_MAX_ADDRESSES; index++)
		if (index < pod->address_count && same_address(destination, &pod->addresses[index]))
			return 1;
	return 0;
}

static __always_inline int set_mark(struct bpf_sock_addr *ctx, __u32 mark)
{
	return bpf_setsockopt(ctx, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
}

/* What is left to itself must not carry our bit from an earlier connect() of the same socket. */
static __always_inline int leave_alone(struct bpf_sock_addr *ctx, struct bpf_sock *sk, __u32 bit, __u32 counter)
{
	if ((sk->mark & bit) && set_mark(ctx, sk->mark & ~bit)) {
		count(AMB_REFUSED_UNMARKABLE);
		return REFUSE;
	}
	count(counter);
	return ALLOW;
}

static __always_inline int is_served(void)
{
#pragma unroll
	for (__u32 slot = 0; slot < AMB_ENGINE_SLOTS; slot++) {
		__u32 key = slot;
		struct bpf_sock *sk = bpf_map_lookup_elem(&amb_serving, &key);

		if (sk) {
			bpf_sk_release(sk);
			return 1;
		}
	}
	return 0;
}

static __always_inline int refuse(__u32 counter)
{
	count(counter);
	/* Since 5.18; before, the application sees EPERM. */
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_set_retval))
		bpf_set_retval(-ECONNREFUSED);
	return REFUSE;
}

/*
 * The application's other mark bits stay, but for the one that a proxy earns: a proxy dials for its clients, too, wherever they
 * have it sent, and what they cannot have it do is set a socket's priority.
 */
static __always_inline __u32 captured_mark(const struct amb_pod *pod, const struct bpf_sock *sk)
{
	__u32 mark = sk->mark | pod->mark;

	if (!(pod->flags & AMB_POD_GUARDED))
		return mark;
	return sk->priority == AMB_OWN_PRIORITY ? mark | AMB_OWN_MARK : mark & ~AMB_OWN_MARK;
}

/* The packet must be free to leave by lo, so a device binding goes. */
static __always_inline int capture(struct bpf_sock_addr *ctx, struct bpf_sock *sk, const struct amb_pod *pod)
{
	__u32 mark = captured_mark(pod, sk);
	int any = 0;

	/*
	 * Without an engine the look-up would drop the SYN, but no reset comes of that for IPv4: its source would be an address
	 * that is not this namespace's, and the kernel sends such a reset only for a transparent socket. So it is told here.
	 */
	if (!is_served())
		return refuse(AMB_REFUSED_CLOSED);
	if (sk->mark != mark && set_mark(ctx, mark))
		goto refused;
	if (sk->bound_dev_if && bpf_setsockopt(ctx, SOL_SOCKET, SO_BINDTOIFINDEX, &any, sizeof(any)))
		goto refused;
	count(AMB_CAPTURED);
	return ALLOW;
refused:
	count(AMB_REFUSED_UNMARKABLE);
	return REFUSE;
}

/* What stays inside the pod is not captured: the counter of its kind, or none. */
static __always_inline __u32 inner_kind(const struct amb_pod *pod, const struct amb_address *destination)
{
	if (is_loopback(destination))
		return AMB_CONNECT_LOOPBACK;
	if (is_own(pod, destination))
		return AMB_CONNECT_OWN;
	/* IPv6 link-local is bound to its link by definition; the destination still sees plaintext without identity. */
	if ((bpf_ntohl(destination->words[0]) >> 22) == (0xfe80 >> 6))
		return AMB_CONNECT_LINK_LOCAL;
	return AMB_COUNTERS;
}

/*
 * A proxy believes whoever connects there what the PROXY header says of the client, so only the engine may: else the proxy
 * itself could be made to dial it with a header that somebody else wrote.
 */
static __always_inline int is_guarded(const struct amb_pod *pod, const struct bpf_sock_addr *ctx)
{
	__u16 port = bpf_ntohs(ctx->user_port);

	return (pod->flags & AMB_POD_GUARDED) && (port == AMB_HANDOVER_PORT || port == AMB_ADMIN_PORT);
}

#include "dns.h"

static __always_inline int on_connect(struct bpf_sock_addr *ctx, const struct amb_address *destination)
{
	struct bpf_sock *sk = ctx->sk;
	struct amb_pod *pod;
	__u64 cookie;
	__u32 inner;

	if (!sk)
		return ALLOW;
	if (ctx->type == SOCK_DGRAM)
		return on_connect_udp(ctx, sk, destination);
	if (ctx->type != SOCK_STREAM)
		return ALLOW;
	if (ctx->protocol != IPPROTO_TCP && ctx->protocol != IPPROTO_MPTCP)
		return ALLOW;
	cookie = bpf_get_netns_cookie(ctx);
	pod = bpf_map_lookup_elem(&amb_pods, &cookie);
	if (!pod || !pod->mark)
		return cookie == config.node_cookie ? note_candidate(ctx, sk, destination) : ALLOW;
	if (is_engine()) {
		count(AMB_CONNECT_ENGINE);
		return ALLOW;
	}
	inner = inner_kind(pod, destination);
	if (inner == AMB_COUNTERS && is_open_dns(ctx, pod, cookie))
		return leave_alone(ctx, sk, pod->mark, AMB_DNS_OPEN);
	if (inner == AMB_COUNTERS)
		return capture(ctx, sk, pod);
	if (is_guarded(pod, ctx))
		return refuse(AMB_REFUSED_GUARDED);
	return leave_alone(ctx, sk, pod->mark, inner);
}

SEC("cgroup/connect4")
int amb_connect4(struct bpf_sock_addr *ctx)
{
	struct amb_address destination;

	set_ipv4(&destination, ctx->user_ip4);
	return on_connect(ctx, &destination);
}

SEC("cgroup/connect6")
int amb_connect6(struct bpf_sock_addr *ctx)
{
	struct amb_address destination;

	destination.words[0] = ctx->user_ip6[0];
	destination.words[1] = ctx->user_ip6[1];
	destination.words[2] = ctx->user_ip6[2];
	destination.words[3] = ctx->user_ip6[3];
	return on_connect(ctx, &destination);
}

SEC("sockops")
int amb_sockops(struct bpf_sock_ops *ops)
{
	struct candidate *candidate;
	struct bpf_sock *sk;

	if (ops->op != BPF_SOCK_OPS_TCP_CONNECT_CB && ops->op != BPF_SOCK_OPS_STATE_CB)
		return 1;
	sk = ops->sk;
	if (!sk)
		return 1;
	candidate = bpf_sk_storage_get(&amb_candidates, sk, 0, 0);
	if (!candidate)
		return 1;
	if (ops->op == BPF_SOCK_OPS_TCP_CONNECT_CB)
		publish(ops, candidate);
	else if (ops->args[1] == BPF_TCP_CLOSE)
		unpublish(ops, candidate);
	return 1;
}

/*
 * Run once by BPF_PROG_TEST_RUN in the engine's own process: getpid() in a container is another number than the one that
 * the connect hooks see. The arguments are the slot to take and the place in the order.
 */
SEC("raw_tp/sys_enter")
int amb_register(struct bpf_raw_tracepoint_args *ctx)
{
	struct amb_engine process;
	__u32 slot = ctx->args[0];

	current_process(&process);
	process.order = ctx->args[1];
	return bpf_map_update_elem(&amb_engines, &slot, &process, BPF_ANY) ? 0 : process.tgid;
}
