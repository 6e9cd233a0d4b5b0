#!/usr/bin/env bash
# A real Kubernetes cluster on this machine, without a registry and without a link to the network.
#   cluster.sh up [NODES]         start it (two nodes unless told) and print where its kubeconfig is
#   cluster.sh down               end it and undo everything; also after a crash
#   cluster.sh status             exit status 0 when it is up
#   cluster.sh kubectl ARG...     kubectl as its administrator
#   cluster.sh helm ARG...        helm likewise
#   cluster.sh path kubeconfig|kubectl|helm|state|gateway-api   where that is
#   cluster.sh node N CMD...      a command as root on node N, in its namespaces and its cgroup
#   cluster.sh outside CMD...     a command on a machine that is on the nodes' network but not in the cluster
#   cluster.sh import FILE...     give image archives to every node
#   cluster.sh start|stop N DAEMON   containerd, kubelet, kube-proxy; on node 1 also etcd, apiserver, controller-manager,
#                                 scheduler
#   cluster.sh reboot N           cut a node's power and start it again (not node 1: it has the control plane)
# Needs root. AMBIT_CLUSTER names the cluster; each checkout has one of its own otherwise.
. "$(dirname "$0")/../../scripts/common.sh"
shopt -s inherit_errexit # a failure inside $(…) is one
. scripts/packages.sh
. scripts/image-files.sh
. test/cluster/lib/settings.sh
. test/cluster/lib/machine.sh
. test/cluster/lib/binaries.sh
. test/cluster/lib/images.sh
. test/cluster/lib/certificates.sh
. test/cluster/lib/network.sh
. test/cluster/lib/cgroups.sh
. test/cluster/lib/nodes.sh
. test/cluster/lib/daemons.sh

up() { # NODES
  local n count=${1:-2} started=$SECONDS
  ! is_up || fail "cluster $id is up already"
  require_packages "${packages[@]}"
  check_folder
  kubernetes=$(programs_of kubernetes)
  coredns=$(programs_of coredns)
  make_images
  down_quietly # what a crash may have left
  started=$SECONDS
  say "starting cluster $id with $count nodes"
  trap 'status=$?; [ $status = 0 ] || say "cluster $id did not come up; logs: $state/n*/log; \"cluster.sh down\" removes it"' EXIT
  prepare "$count"
  start_control_plane
  for n in $(seq "$count"); do bring_in "$n" & done
  wait_all
  install_dns
  touch "$state/ready"
  say "cluster $id is ready after $((SECONDS - started)) s"
}

prepare() { # COUNT
  local n
  mkdir -p "$state"
  echo "$1" >"$state/count"
  echo "$proxy_mode" >"$state/proxy-mode"
  echo "$kubernetes" >"$state/kubernetes"
  echo "$images" >"$state/images"
  raise_machine_limits
  make_certificates "$1"
  make_lan
  for n in $(seq "$1"); do
    make_disk "$n"
    boot_node "$n" "$1"
  done
}

start_control_plane() {
  start_daemon 1 etcd
  start_daemon 1 apiserver
  start_forwarder
}

# Everything of a node that comes after its first process.
bring_in() { # N
  local name
  name=$(node_name "$1")
  start_daemon "$1" containerd
  until_true 20 "containerd of $name" on_node "$1" ctr version
  import_images "$1" "$images"/*.tar
  until_true 60 "the API server" kubectl get --raw /readyz
  if [ "$1" = 1 ]; then
    start_daemon 1 controller-manager
    start_daemon 1 scheduler
  fi
  start_daemon "$1" kubelet
  start_daemon "$1" kube-proxy
  until_true 60 "the registration of $name" kubectl get node "$name"
  kubectl patch node "$name" -p "{\"spec\":{\"podCIDR\":\"$(node_pods "$1")\",\"podCIDRs\":[\"$(node_pods "$1")\",\"$(node_pods6 "$1")\"]}}" >/dev/null
  kubectl wait --for condition=Ready node "$name" --timeout 60s >/dev/null
}

wait_all() {
  local job
  for job in $(jobs -p); do wait "$job" || fail "a node did not come up"; done
}

install_dns() {
  kubectl apply -f "$files/manifests/coredns.yaml" >/dev/null
  until_true 30 "the default service account" kubectl get serviceaccount default
  kubectl --namespace kube-system rollout status deployment/coredns --timeout 60s >/dev/null
}

reboot() { # N
  [ "$1" != 1 ] || fail "node 1 has the control plane; reboot another"
  halt_node "$1"
  boot_node "$1" "$(<"$state/count")"
  bring_back "$1"
}

# After a reboot the disk is there with its images; the rest starts as the machine's services do.
bring_back() { # N
  start_daemon "$1" containerd
  until_true 20 "containerd of $(node_name "$1")" on_node "$1" ctr version
  start_daemon "$1" kubelet
  start_daemon "$1" kube-proxy
}

down() {
  down_quietly
  say "cluster $id is gone"
}

down_quietly() {
  local netns
  for netns in $(traces); do
    kill_cgroup "$netns"
    until_true 20 "removing the cgroups of $netns" remove_cgroups "$netns"
    until_true 20 "removing the network of $netns" remove_netns "$netns"
  done
  until_true 20 "removing the nodes' network" remove_netns "$lan_netns"
  rm -rf --one-file-system "$state"
  restore_machine_limits
}

# The nodes of which anything is left: a folder, a network namespace or a cgroup.
traces() {
  {
    for folder in "$state"/n[0-9]*; do [ ! -d "$folder" ] || echo "ambit-$id-${folder##*/}"; done
    for netns in /run/netns/"ambit-$id-n"*; do [ ! -e "$netns" ] || echo "${netns##*/}"; done
    find /sys/fs/cgroup -type d -name "ambit-$id-n[0-9]*" -printf '%f\n' 2>/dev/null
  } | sort -u
}

kubectl() { "$kubernetes/kubectl" --kubeconfig "$state/kubeconfig" "$@"; }

path() {
  case $1 in
    kubeconfig) echo "$state/kubeconfig" ;;
    kubectl) echo "$kubernetes/kubectl" ;;
    helm) echo "$(programs_of helm)/helm" ;;
    state) echo "$state" ;;
    gateway-api) gateway_api ;;
    *) fail "path of what? kubeconfig, kubectl, helm, state or gateway-api" ;;
  esac
}

# One whose start was broken off is not up: the next start clears it away.
is_up() { [ -e "$state/ready" ] && [ -n "$(nodes)" ]; }

# What a running cluster was started with stays so while the files beside change.
running() {
  [ -n "$(nodes)" ] || fail "cluster $id is not up: cluster.sh up"
  kubernetes=$(<"$state/kubernetes") images=$(<"$state/images")
}

is_root || fail "the cluster makes namespaces, cgroups and mounts: run it as root"
case ${1:-} in
  up | down | reboot) # one at a time; the lock is not handed down, or the nodes would hold it
    mkdir -p "$cache"
    [ -n "${AMBIT_CLUSTER_LOCKED:-}" ] || AMBIT_CLUSTER_LOCKED=1 exec flock --close "$cache/cluster-$id.lock" "$files/cluster.sh" "$@" ;;
esac
command=${1:-}
shift || true
case $command in
  up | down) "$command" "$@" ;;
  status) is_up ;;
  kubectl) running && kubectl "$@" ;;
  helm) "$(programs_of helm)/helm" --kubeconfig "$state/kubeconfig" "$@" ;;
  path) if [ "${1:-}" = kubectl ]; then running; fi && path "${1:-}" ;;
  node) running && join_cgroups "$(node_netns "$1")" && on_node "$@" ;;
  outside) running && ip netns exec "$lan_netns" "$@" ;;
  import) running && for n in $(nodes); do import_images "$n" "$@"; done ;;
  start) running && start_daemon "$1" "$2" ;;
  stop) running && stop_daemon "$1" "$2" ;;
  reboot) running && reboot "$1" ;;
  *) sed -n '2,/^# Needs/s/^# \{0,1\}//p' "$files/cluster.sh" >&2; exit 2 ;;
esac
