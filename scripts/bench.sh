#!/usr/bin/env bash
# Builds, then measures. `bench.sh quick` takes minutes, without it about half an hour.
. "$(dirname "$0")/common.sh"
is_root || fail "the benchmark makes network namespaces and loads eBPF: run it as root"
scripts/build.sh
exec node dist/bench/main.js "$@"
