# Names, addresses and folders of one cluster. Sourced after scripts/common.sh, not run. Everything that a cluster makes
# carries its id, so two clusters never meet; a checkout has one of its own unless AMBIT_CLUSTER names another.
# shellcheck shell=bash disable=SC2034 # what is set here is used by the scripts beside

id=${AMBIT_CLUSTER:-$(pwd -P | sha256sum | cut -c1-6)}
[[ $id =~ ^[a-z0-9]{1,12}$ ]] || fail "AMBIT_CLUSTER is up to 12 of a-z and 0-9, not '$id'"
state=${AMBIT_CLUSTER_DIR:-/tmp}/ambit-cluster-$id
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ambit
files=$PWD/test/cluster

kubernetes_version=v1.34.4
proxy_mode=${AMBIT_CLUSTER_PROXY_MODE:-nftables}

# The nodes' network has no link to the machine's: these addresses mean something inside the cluster only.
lan_netns=ambit-$id-lan
lan_address=10.77.0.254 lan_address6=fd00:77::fe
service_ranges=10.96.0.0/16,fd00:96::/112
pod_ranges=10.244.0.0/16,fd00:244::/56
api_address=10.77.0.1 dns_address=10.96.0.10
node_name() { echo "node-$1"; }
node_netns() { echo "ambit-$id-n$1"; } # also the name of its cgroups
node_folder() { echo "$state/n$1"; }
node_address() { echo "10.77.0.$1"; }
node_address6() { echo "fd00:77::$1"; }
node_pods() { echo "10.244.$1.0/24"; }
node_pods6() { echo "fd00:244:0:$1::/64"; }

until_true() { # SECONDS WHAT CMD...
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || fail "$what: not within the time limit; the logs are $state/n*/log"
    sleep 0.1
  done
}

# The nodes whose first process lives.
nodes() {
  local folder
  for folder in "$state"/n[0-9]*; do
    if [ -s "$folder/pid" ] && is_node_process "$(<"$folder/pid")"; then echo "${folder##*/n}"; fi
  done
}

# A process number may have been given to another program since.
is_node_process() { grep -qs "/ambit-$id-n" "/proc/$1/cgroup"; }
