#!/usr/bin/env bash
# Builds, then compares requests through a waypoint with those through the same Envoy without a mesh.
. "$(dirname "$0")/common.sh"
is_root || fail "the bench makes network namespaces and loads eBPF: run it as root"
scripts/build.sh
exec node dist/bench/waypoint/main.js
