#!/usr/bin/env bash
# The first process of a node: node.sh CGROUP NAME FOLDER PAUSE, in the node's network namespace. It enters a cgroup
# CGROUP in every hierarchy, then becomes PID 1 of namespaces of its own, with private copies of the paths where a node
# keeps state, all at their usual places. Seen through its cgroup namespace, the root of each hierarchy is CGROUP: agents
# of two nodes that attach eBPF programs "at the root" do not meet.
set -euo pipefail
cgroup=$1 name=$2 folder=$3 pause=$4 stage=${5:-outside}
. "$(dirname "$0")/lib/cgroups.sh"

outside() {
  make_cgroups "$cgroup"
  exec unshare --cgroup "$0" "$cgroup" "$name" "$folder" "$pause" rooted
}

rooted() {
  make_daemons_cgroup "$cgroup"
  exec unshare --mount --uts --ipc --pid --fork "$0" "$cgroup" "$name" "$folder" "$pause" inside
}

inside() {
  local outer_pid _
  read -r outer_pid _ </proc/self/stat # /proc is still the machine's: the number by which the outside knows us
  mount --make-rprivate /
  hostname "$name"
  mount -t proc proc /proc
  private_sys
  umount -lR /run/netns 2>/dev/null || true # copies of them would keep other people's namespaces alive
  mount -t tmpfs -o mode=755 tmpfs /run     # containerd's socket, the pods' namespaces, xtables.lock
  private_folders
  private_settings
  mount --make-rshared / # as systemd does; the kubelet and mounts of containers with a propagation ask for it
  echo "$outer_pid" >"$folder/pid"
  exec "$pause"
}

private_sys() {
  local layout=hybrid mounted=
  if is_pure; then layout=pure; else mounted=$(mounted_hierarchies); fi
  umount -lR /sys
  mount -t sysfs sysfs /sys # /sys/class/net of this network namespace
  mount_cgroups "$layout" "$mounted"
  mount -t bpf bpf /sys/fs/bpf
}

mounted_hierarchies() {
  hierarchies | while read -r hierarchy _; do
    if [ -d "/sys/fs/cgroup/$hierarchy" ]; then echo "$hierarchy"; fi
  done
}

# What is written under these goes to the node's folder. containerd and the kubelet get folders of the real file system:
# the one makes overlays of its own, the other measures the file system that it is on.
private_folders() {
  local path
  for path in etc opt var/lib var/log; do
    mkdir -p "$folder/disk/$path" "$folder/work/$path" "/$path"
    mount -t overlay -o "lowerdir=/$path,upperdir=$folder/disk/$path,workdir=$folder/work/$path" overlay "/$path"
  done
  for path in var/lib/kubelet var/lib/containerd; do
    mkdir -p "$folder/real/$path" "/$path"
    mount --bind "$folder/real/$path" "/$path"
  done
}

# The kubelet insists on values of its own for settings of the whole machine: it writes them into files of the node's.
private_settings() {
  local setting copy
  for setting in kernel/panic kernel/panic_on_oops vm/overcommit_memory vm/panic_on_oom; do
    copy=$folder/settings/$setting
    mkdir -p "${copy%/*}"
    cat "/proc/sys/$setting" >"$copy"
    mount --bind "$copy" "/proc/sys/$setting"
  done
}

"$stage"
