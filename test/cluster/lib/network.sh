# The nodes' network: one bridge in a network namespace of its own, which also stands for the world outside the cluster.
# shellcheck shell=bash

make_lan() {
  make_netns "$lan_netns"
  ip -n "$lan_netns" link add lan type bridge
  ip -n "$lan_netns" address add "$lan_address/24" dev lan
  ip -n "$lan_netns" address add "$lan_address6/64" dev lan nodad
  ip -n "$lan_netns" link set lan up
}

make_netns() { # NAME
  ip netns add "$1"
  # Duplicate-address detection would hold every new IPv6 address back for a second.
  ip netns exec "$1" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 \
    net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0
  ip -n "$1" link set lo up
}

# The default route leads to the world outside. There must be one: a Service's address has to be routable before
# kube-proxy's rules rewrite it.
link_node() { # N COUNT
  local netns other
  netns=$(node_netns "$1")
  # As with a real card, a reboot keeps the hardware address: neighbours would send to the old one for seconds.
  ip -n "$netns" link add eth0 address "$(printf '02:00:00:00:00:%02x' "$1")" type veth peer name "node$1" netns "$lan_netns"
  ip -n "$netns" address add "$(node_address "$1")/24" dev eth0
  ip -n "$netns" address add "$(node_address6 "$1")/64" dev eth0 nodad
  ip -n "$netns" link set eth0 up
  ip -n "$lan_netns" link set "node$1" master lan up
  ip -n "$netns" route add default via "$lan_address" src "$(node_address "$1")"
  ip -n "$netns" -6 route add default via "$lan_address6" src "$(node_address6 "$1")"
  route_pods "$lan_netns" "$1"
  for other in $(seq "$2"); do
    if [ "$other" != "$1" ]; then route_pods "$netns" "$other"; fi
  done
}

route_pods() { # NETNS N: to the pods of node N
  ip -n "$1" route replace "$(node_pods "$2")" via "$(node_address "$2")"
  ip -n "$1" -6 route replace "$(node_pods6 "$2")" via "$(node_address6 "$2")"
}

remove_netns() { # NAME
  [ ! -e "/run/netns/$1" ] || ip netns delete "$1"
}
