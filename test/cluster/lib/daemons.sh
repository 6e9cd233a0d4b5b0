# The programs of a node: node 1 also has the control plane.
# shellcheck shell=bash

# Runs in the background on the node; its output is log/DAEMON.log, its number there /run/DAEMON.pid.
run_daemon() { # N DAEMON CMD...
  local n=$1 name=$2 log
  shift 2
  log=$(node_folder "$n")/log/$name.log
  (
    join_cgroups "$(node_netns "$n")"
    # shellcheck disable=SC2016 # expands on the node
    on_node "$n" setsid --fork bash -c 'echo $$ >"/run/$0.pid"; exec "$@"' "$name" "$@"
  ) </dev/null >>"$log" 2>&1
}

# As run_daemon, and again whenever it ends by itself, as an init system does: a kubelet gives up over a containerd that listens and
# is not ready to answer yet.
run_kept() { # N DAEMON CMD...
  local n=$1 name=$2
  shift 2
  # shellcheck disable=SC2016 # expands on the node
  run_daemon "$n" "$name" bash -c 'trap "kill \$child; wait \$child; exit" TERM
    while :; do "$@" & child=$!; wait "$child"; sleep 0.3; done' "$name" "$@"
}

# Whoever does not end by itself within five seconds (an API server waits a minute for its watches) is ended.
stop_daemon() { # N DAEMON
  # shellcheck disable=SC2016 # expands on the node
  on_node "$1" bash -c 'pid=$(<"/run/$0.pid") && kill "$pid" && for ((i = 0; i < 100; i++)); do
    kill -0 "$pid" 2>/dev/null || exit 0
    sleep 0.05
  done
  kill -KILL "$pid"
  while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done' "$2"
}

start_daemon() { # N DAEMON
  case $2 in
    containerd) run_daemon "$1" containerd containerd ;;
    kubelet) run_kept "$1" kubelet "$kubernetes/kubelet" --config /etc/kubernetes/kubelet.yaml \
      --kubeconfig "$pki/node-$1.conf" --hostname-override "$(node_name "$1")" \
      --node-ip "$(node_address "$1"),$(node_address6 "$1")" \
      --node-labels "topology.kubernetes.io/region=test,topology.kubernetes.io/zone=zone-$1" ;;
    # Without CAP_SYS_RESOURCE the number of tracked connections is not ours to set, and kube-proxy would exit over it.
    kube-proxy) run_daemon "$1" kube-proxy "$kubernetes/kube-proxy" --kubeconfig "$pki/proxy.conf" \
      --hostname-override "$(node_name "$1")" --proxy-mode "$(<"$state/proxy-mode")" --cluster-cidr "$pod_ranges" \
      --conntrack-max-per-core 0 --conntrack-min 0 ;;
    etcd) run_daemon "$1" etcd etcd --data-dir /var/lib/etcd --unsafe-no-fsync ;;
    apiserver) start_apiserver "$1" ;;
    controller-manager) run_daemon "$1" controller-manager "$kubernetes/kube-controller-manager" \
      --kubeconfig "$pki/controller-manager.conf" --leader-elect=false --use-service-account-credentials \
      --root-ca-file "$pki/ca.crt" --service-account-private-key-file "$pki/sa.key" \
      --cluster-signing-cert-file "$pki/ca.crt" --cluster-signing-key-file "$pki/ca.key" ;;
    scheduler) run_daemon "$1" scheduler "$kubernetes/kube-scheduler" --kubeconfig "$pki/scheduler.conf" \
      --leader-elect=false ;;
    *) fail "there is no daemon $2" ;;
  esac
}

# Nodes are reached by address: their names are in no DNS.
start_apiserver() { # N
  run_daemon "$1" apiserver "$kubernetes/kube-apiserver" --etcd-servers http://127.0.0.1:2379 \
    --advertise-address "$api_address" --service-cluster-ip-range "$service_ranges" --allow-privileged \
    --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction --client-ca-file "$pki/ca.crt" \
    --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" \
    --kubelet-preferred-address-types InternalIP \
    --kubelet-client-certificate "$pki/admin.crt" --kubelet-client-key "$pki/admin.key" \
    --service-account-issuer https://kubernetes.default.svc.cluster.local \
    --service-account-signing-key-file "$pki/sa.key" --service-account-key-file "$pki/sa.pub"
}

# The API server as seen from the machine, whose network the nodes' is not part of. Lives and dies with node 1.
start_forwarder() {
  local name=forward
  (
    join_cgroups "$(node_netns 1)"
    nsenter --target "$(<"$(node_folder 1)/pid")" --pid setsid --fork \
      "$images/programs/forward" "/run/netns/$(node_netns 1)" "$api_address" 6443
  ) </dev/null >"$state/api-port" 2>>"$(node_folder 1)/log/$name.log"
  until_true 5 "the forwarder to the API server" test -s "$state/api-port"
  (umask 077 && kubeconfig admin "https://127.0.0.1:$(<"$state/api-port")" >"$state/kubeconfig")
}
