/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Types, counters and address arithmetic of all programs. */
#ifndef AMBIT_COMMON_H
#define AMBIT_COMMON_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

#define AF_INET 2
#define AF_INET6 10

/* Only what the programs read of the kernel's own structures; CO-RE finds the real offsets at load time. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct task_struct {
	struct task_struct *group_leader;
	__u64 start_boottime;
};
#pragma clang attribute pop

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, AMB_COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} amb_counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, AMB_MAX_PROBES);
	__type(key, struct amb_tuple);
	__type(value, struct amb_probe);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} amb_probes SEC(".maps");

/*
 * The socket that answers a pod's name queries, by the pod's netns cookie. The kernel takes it out when it is closed, and so
 * also when the engine is killed: who is not here is not answered by us, and asks its own resolver.
 */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, AMB_MAX_PODS);
	__type(key, __u64);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} amb_dns SEC(".maps");

static __always_inline void count(__u32 counter)
{
	__u64 *value = bpf_map_lookup_elem(&amb_counters, &counter);

	if (value)
		*value += 1;
}

static __always_inline void set_ipv4(struct amb_address *address, __u32 ip4)
{
	address->words[0] = 0;
	address->words[1] = 0;
	address->words[2] = bpf_htonl(0xffff);
	address->words[3] = ip4;
}

/*
 * Both families are read before choosing: clang otherwise merges the branches into loads through a computed context pointer,
 * which the verifier forbids.
 */
#define READ_ADDRESS(address, family, ip4, ip6)                 \
	do {                                                    \
		struct amb_address six = { { (ip6)[0], (ip6)[1], (ip6)[2], (ip6)[3] } }; \
		__u32 four = (ip4);                             \
		barrier_var(four);                              \
		*(address) = six;                               \
		if ((family) == AF_INET)                        \
			set_ipv4(address, four);                \
	} while (0)

static __always_inline int is_mapped(const struct amb_address *address)
{
	return address->words[0] == 0 && address->words[1] == 0 && address->words[2] == bpf_htonl(0xffff);
}

static __always_inline int same_address(const struct amb_address *left, const volatile struct amb_address *right)
{
	return left->words[0] == right->words[0] && left->words[1] == right->words[1] &&
	       left->words[2] == right->words[2] && left->words[3] == right->words[3];
}

/* Loopback, or unspecified, which connect() takes for loopback. */
static __always_inline int is_loopback(const struct amb_address *address)
{
	__u32 last = address->words[3];

	if (is_mapped(address))
		return last == 0 || (bpf_ntohl(last) >> 24) == 127;
	return address->words[0] == 0 && address->words[1] == 0 && address->words[2] == 0 &&
	       (last == 0 || last == bpf_htonl(1));
}

#endif
