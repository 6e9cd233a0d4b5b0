#!/usr/bin/env bash
# Builds, then shows the mesh at work on two nodes made of network namespaces.
. "$(dirname "$0")/common.sh"
is_root || fail "the demo makes network namespaces and loads eBPF: run it as root"
scripts/build.sh
exec node dist/test/demo/main.js
