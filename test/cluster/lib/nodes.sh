# A node's disk, its first process, and its end.
# shellcheck shell=bash

on_node() { # N CMD...: in all of the node's namespaces
  local pid
  pid=$(<"$(node_folder "$1")/pid")
  shift
  nsenter --target "$pid" --net --mount --pid --uts --ipc --cgroup "$@"
}

# What the node finds under /etc and /opt when it starts for the first time.
make_disk() { # N
  local disk
  disk=$(node_folder "$1")/disk
  mkdir -p "$disk"/{etc/cni/net.d,etc/containerd,etc/kubernetes,opt/cni/bin} "$(node_folder "$1")/log"
  cp /usr/lib/cni/{bridge,host-local,loopback,portmap} "$disk/opt/cni/bin/"
  cni_configuration "$1" >"$disk/etc/cni/net.d/10-bridge.conflist"
  containerd_configuration >"$disk/etc/containerd/config.toml"
  kubelet_configuration >"$disk/etc/kubernetes/kubelet.yaml"
}

cni_configuration() { # N
  cat <<JSON
{
  "cniVersion": "1.0.0",
  "name": "bridge",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "cni0",
      "isDefaultGateway": true,
      "hairpinMode": true,
      "ipam": {
        "type": "host-local",
        "ranges": [[{ "subnet": "$(node_pods "$1")" }], [{ "subnet": "$(node_pods6 "$1")" }]]
      }
    },
    { "type": "portmap", "capabilities": { "portMappings": true } }
  ]
}
JSON
}

containerd_configuration() {
  cat <<TOML
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "ambit.local/pause:test"
  # Without CAP_SYS_RESOURCE a score can only be raised: runc would fail on every pod.
  restrict_oom_score_adj = true
TOML
}

kubelet_configuration() {
  cat <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $pki/ca.crt}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
clusterDNS: [$dns_address]
clusterDomain: cluster.local
resolvConf: "" # the cluster has nobody outside to ask
failSwapOn: false
failCgroupV1: false # from 1.35 on a machine with the old hierarchies is refused otherwise
oomScoreAdj: 0 # see containerd's setting
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
YAML
}

boot_node() { # N COUNT
  local netns folder
  netns=$(node_netns "$1") folder=$(node_folder "$1")
  rm -f "$folder/pid"
  make_netns "$netns"
  link_node "$1" "$2"
  nsenter --net="/run/netns/$netns" setsid "$files/node.sh" "$netns" "$(node_name "$1")" "$folder" "$images/programs/pause" \
    </dev/null >>"$folder/log/node.log" 2>&1 &
  disown
  until_true 60 "starting node $1" test -s "$folder/pid"
}

halt_node() { # N: as if its power had failed
  kill_cgroup "$(node_netns "$1")"
  until_true 20 "removing the network of node $1" remove_netns "$(node_netns "$1")"
  until_true 20 "removing the cgroups of node $1" remove_cgroups "$(node_netns "$1")"
  rm -f "$(node_folder "$1")/pid"
}
