#!/usr/bin/env bash
# The tests on a real Kubernetes: test-cluster.sh [FILE.test.ts...]
. "$(dirname "$0")/common.sh"
. scripts/cluster-session.sh
test/cluster/cluster.sh path helm >/dev/null # built before the tests, whose time it would take

chosen=("$@")
[ $# -gt 0 ] || mapfile -t chosen < <(find test/cluster -name '*.test.ts' | sort)
compiled=("${chosen[@]/#/dist/}")
# One file at a time: they share the nodes, and some stop parts of them.
timeout --kill-after=30 45m node --test --test-reporter=spec --test-concurrency=1 "${compiled[@]/%.ts/.js}"
