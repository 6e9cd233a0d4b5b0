# A node is a cgroup in every hierarchy, under the node's name. Both layouts: cgroup2 alone at /sys/fs/cgroup ("pure"),
# and the old hierarchies with cgroup2 beside them at `unified` ("hybrid").
# shellcheck shell=bash

is_pure() { [ -e /sys/fs/cgroup/cgroup.controllers ]; }

# The old hierarchies and `unified`, one a line, each with the cgroup that this process is in.
hierarchies() { sed -E 's/^[0-9]+:(name=)?([^:]*):(.*)$/\2 \3/; s/^ /unified /' /proc/self/cgroup; }

# Makes the cgroups of a node and moves the calling shell into them.
make_cgroups() { # NAME
  if is_pure; then make_pure_cgroup "$1"; else make_hybrid_cgroups "$1"; fi
}

make_pure_cgroup() {
  if [ -e /sys/fs/cgroup/cgroup.type ]; then empty_container_root; fi
  pass_controllers_on /sys/fs/cgroup
  mkdir -p "/sys/fs/cgroup/$1"
  echo $$ >"/sys/fs/cgroup/$1/cgroup.procs"
}

# Only the machine's own root, which has no type, may have both processes and controllers for its children. In a
# container the root that we see is another's child: its processes move one step down.
empty_container_root() {
  local pid
  mkdir -p /sys/fs/cgroup/ambit-container
  while read -r pid; do echo "$pid" >/sys/fs/cgroup/ambit-container/cgroup.procs || true; done </sys/fs/cgroup/cgroup.procs
}

pass_controllers_on() { # FOLDER
  local controller
  for controller in $(<"$1/cgroup.controllers"); do echo "+$controller" >"$1/cgroup.subtree_control"; done
}

make_hybrid_cgroups() {
  local hierarchy path parent file
  hierarchies | while read -r hierarchy path; do
    parent=/sys/fs/cgroup/$hierarchy$path
    [ -d "$parent" ] || continue # compiled into the kernel, mounted nowhere
    mkdir -p "$parent/$1"
    if [ "$hierarchy" = cpuset ]; then # a new one is empty, and refuses processes
      for file in cpuset.cpus cpuset.mems; do cat "$parent/$file" >"$parent/$1/$file"; done
    fi
    echo $$ >"$parent/$1/cgroup.procs"
  done
}

# In the pure layout only a cgroup without processes of its own may divide its resources: the node's programs go one
# step down, beside the pods. To be called once the cgroup namespace has the node's cgroup for its root.
make_daemons_cgroup() { # NAME
  is_pure || return 0
  mkdir -p "/sys/fs/cgroup/$1/daemons"
  echo $$ >"/sys/fs/cgroup/$1/daemons/cgroup.procs"
  pass_controllers_on "/sys/fs/cgroup/$1"
}

# Moves the calling (sub)shell into a node that is up. From outside the node: inside its cgroup namespace the kernel
# refuses to move a process that comes from elsewhere (`nsdelegate`).
join_cgroups() { # NAME
  local pid=$BASHPID
  if is_pure; then
    echo "$pid" >"/sys/fs/cgroup/$1/daemons/cgroup.procs"
  else
    cgroups_of "$1" | grep "/$1\$" | while read -r folder; do echo "$pid" >"$folder/cgroup.procs"; done
  fi
}

# Over /sys/fs/cgroup, in the node's cgroup namespace.
mount_cgroups() { # pure|hybrid HIERARCHIES
  local hierarchy folder
  if [ "$1" = pure ]; then
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    return
  fi
  mount -t tmpfs tmpfs /sys/fs/cgroup
  for hierarchy in $2; do
    folder=/sys/fs/cgroup/$hierarchy
    mkdir "$folder"
    case $hierarchy in
      unified) mount -t cgroup2 cgroup2 "$folder" ;;
      systemd) mount -t cgroup -o none,name=systemd cgroup "$folder" ;;
      *) mount -t cgroup -o "$hierarchy" cgroup "$folder" ;;
    esac
  done
}

# Every process of a node is in its cgroup, whoever its parent is and whatever became of the file with its number.
kill_cgroup() { # NAME
  local deadline=$((SECONDS + 20)) pids
  while pids=$(processes_in "$1") && [ -n "$pids" ]; do
    ((SECONDS < deadline)) || fail "processes of $1 do not end: ${pids//$'\n'/ }"
    # shellcheck disable=SC2086 # many words
    kill -KILL $pids 2>/dev/null || true
    sleep 0.05
  done
}

processes_in() { # NAME
  cgroups_of "$1" | while read -r folder; do cat "$folder/cgroup.procs" 2>/dev/null || true; done | sort -u
}

# The node's own and those below, deepest first. Those of pods that end may vanish while it looks, which is no failure.
cgroups_of() { # NAME
  find /sys/fs/cgroup -depth -type d \( -name "$1" -o -path "*/$1/*" \) 2>/dev/null || true
}

remove_cgroups() { # NAME
  cgroups_of "$1" | while read -r folder; do rmdir "$folder" 2>/dev/null || true; done
  [ -z "$(cgroups_of "$1")" ]
}
