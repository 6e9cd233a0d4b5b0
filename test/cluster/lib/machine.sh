# What a cluster needs of the machine, and what it changes there.
# shellcheck shell=bash

packages=(
  etcd:etcd-server containerd:containerd runc:runc /usr/lib/cni/bridge:containernetworking-plugins
  /bin/busybox:busybox-static gcc:gcc /usr/include/stdlib.h:libc6-dev openssl:openssl ip:iproute2 nft:nftables
  iptables:iptables nsenter:util-linux unshare:util-linux mount:mount tar:tar sysctl:procps
)

# The usual 128 are few for two containerds and kubelets.
inotify=fs.inotify.max_user_instances
limits=/run/ambit-clusters # one file per cluster, and what the machine had before the first

raise_machine_limits() {
  mkdir -p "$limits"
  (
    flock 9
    [ -e "$limits/saved" ] || sysctl -n "$inotify" >"$limits/saved"
    touch "$limits/cluster-$id"
    if [ "$(sysctl -n "$inotify")" -lt 1024 ]; then sysctl -qw "$inotify=1024"; fi
  ) 9>"$limits/lock"
}

# The last cluster to go gives the machine back what it had.
restore_machine_limits() {
  [ -e "$limits/cluster-$id" ] || return 0
  (
    flock 9
    rm "$limits/cluster-$id"
    if ! compgen -G "$limits/cluster-*" >/dev/null; then
      sysctl -qw "$inotify=$(<"$limits/saved")"
      rm -rf "$limits"
    fi
  ) 9>"$limits/lock"
}

# containerd's layers are overlays, and the kernel makes none on top of another (as in a container's own root).
check_folder() {
  local parent=${state%/*}
  [ "$(stat -f -c %T "$parent")" != overlayfs ] ||
    fail "$parent is an overlay; set AMBIT_CLUSTER_DIR to a folder on a real file system (a volume)"
}
