# To be sourced after common.sh: a cluster with the images of this checkout. One that is up is used and left; otherwise one
# is started, and ended with the script.
is_root || fail "the test cluster makes namespaces, cgroups and mounts: run it as root"
scripts/image.sh
test/cluster/testkit-image.sh build/ambit-testkit-image.tar
test/cluster/envoy-image.sh build/ambit-envoy-image.tar

if ! test/cluster/cluster.sh status; then
  trap 'test/cluster/cluster.sh down' EXIT
  test/cluster/cluster.sh up
fi
test/cluster/cluster.sh import "$PWD"/build/ambit-{,testkit-,envoy-}image.tar
