#!/usr/bin/env bash
# Builds, then compares name queries of captured pods with those that reach the resolver themselves.
. "$(dirname "$0")/common.sh"
is_root || fail "the bench makes network namespaces and loads eBPF: run it as root"
scripts/build.sh
exec node dist/bench/dns/main.js
