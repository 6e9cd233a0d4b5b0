#!/usr/bin/env bash
# What the build and the tests need of the machine besides Node, npm and cargo. Installs it where that is possible.
. "$(dirname "$0")/common.sh"

# command or file → Debian package
needs=(
  clang:clang llvm-strip:llvm /usr/include/bpf/bpf_helpers.h:libbpf-dev ip:iproute2 nft:nftables iperf3:iperf3
  cmake:cmake make:make gcc:gcc g++:g++ /usr/include/stdlib.h:libc6-dev nsenter:util-linux ps:procps mount:mount
)

missing=()
for need in "${needs[@]}"; do
  what=${need%:*} package=${need##*:}
  if [[ $what == /* ]]; then [ -e "$what" ] || missing+=("$package"); else has "$what" || missing+=("$package"); fi
done

if [ ${#missing[@]} -gt 0 ]; then
  is_root && has apt-get || fail "missing on this machine: ${missing[*]}
  as root: apt-get install --no-install-recommends ${missing[*]}"
  say "installing ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

has node || fail "Node.js 20 or newer is needed"
major=$(node -p 'process.versions.node.split(".")[0]')
[ "$major" -ge 20 ] || fail "Node.js 20 or newer is needed, this is $(node --version)"
has npm || fail "npm is needed"
has cargo || fail "a Rust toolchain is needed (cargo, 1.87 or newer)"
