#!/usr/bin/env bash
# The tests on a real Kubernetes: test-cluster.sh [FILE.test.ts...]. A cluster that is up is used and left; otherwise one
# is started, and ended with the tests.
. "$(dirname "$0")/common.sh"
is_root || fail "the test cluster makes namespaces, cgroups and mounts: run it as root"
scripts/image.sh
test/cluster/testkit-image.sh build/ambit-testkit-image.tar

if ! test/cluster/cluster.sh status; then
  trap 'test/cluster/cluster.sh down' EXIT
  test/cluster/cluster.sh up
fi
test/cluster/cluster.sh path helm >/dev/null # built before the tests, whose time it would take
test/cluster/cluster.sh import "$PWD/build/ambit-image.tar" "$PWD/build/ambit-testkit-image.tar"

chosen=("$@")
[ $# -gt 0 ] || mapfile -t chosen < <(find test/cluster -name '*.test.ts' | sort)
compiled=("${chosen[@]/#/dist/}")
# One file at a time: they share the nodes, and some stop parts of them.
timeout --kill-after=30 45m node --test --test-concurrency=1 "${compiled[@]/%.ts/.js}"
