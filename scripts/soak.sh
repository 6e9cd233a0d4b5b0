#!/usr/bin/env bash
# Half an hour of load on a mesh in a real cluster: soak.sh [MINUTES]. Fails when what agents and control plane hold grows.
. "$(dirname "$0")/common.sh"
. scripts/cluster-session.sh
minutes=${1:-30}
timeout --kill-after=30 "$((minutes + 15))m" node dist/test/cluster/soak/main.js "$minutes"
