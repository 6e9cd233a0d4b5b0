#!/usr/bin/env bash
# What the build and the tests need of the machine besides Node, npm and cargo. Installs it where that is possible.
. "$(dirname "$0")/common.sh"
. scripts/packages.sh

require_packages clang:clang llvm-strip:llvm /usr/include/bpf/bpf_helpers.h:libbpf-dev ip:iproute2 nft:nftables \
  iperf3:iperf3 cmake:cmake make:make gcc:gcc g++:g++ /usr/include/stdlib.h:libc6-dev nsenter:util-linux ps:procps \
  mount:mount

has node || fail "Node.js 20 or newer is needed"
major=$(node -p 'process.versions.node.split(".")[0]')
[ "$major" -ge 20 ] || fail "Node.js 20 or newer is needed, this is $(node --version)"
has npm || fail "npm is needed"
has cargo || fail "a Rust toolchain is needed (cargo, 1.88 or newer)"
