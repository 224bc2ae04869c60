# Network namespaces: node1 holds the bridge and the control plane, the others hang on it by a veth pair.
# None has a default route, so nothing of the cluster, alive or dead, can reach the outside.
# shellcheck shell=bash

netns_alive() { [[ $(stat -f -c %T "$(netns_file "$1")" 2>/dev/null) == nsfs ]]; }

make_netns() {
  local file
  netns_alive "$1" && return 0
  file=$(netns_file "$1")
  mkdir -p "${file%/*}"
  : >"$file"
  unshare --net="$file" true
}

node_sysctls() {
  in_node "$1" sysctl -qw net.ipv4.ip_forward=1
  # 120 otherwise: for so long a source port that was used towards a pod on a dead node leads there again (docs/runbook.md, "A node is gone").
  [[ -e /proc/sys/net/netfilter ]] || modprobe nf_conntrack 2>/dev/null || true
  in_node "$1" sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_syn_sent=10 || warn "no nf_conntrack: requests may fail after a node is gone"
  [[ -e /proc/sys/net/bridge ]] || modprobe br_netfilter 2>/dev/null || true
  # Answers between pods of one bridge must pass conntrack too.
  in_node "$1" sysctl -qw net.bridge.bridge-nf-call-iptables=1 || warn "no br_netfilter: services between pods of one node may fail"
}

network_up() {
  local n m nodes ip
  nodes=$(<"$STATE/nodes")
  for ((n = 1; n <= nodes; n++)); do
    make_netns "$n"
    in_node "$n" ip link set lo up
    node_sysctls "$n"
  done
  ip=(ip -n drydock-node1)
  if ! "${ip[@]}" link show "$BRIDGE" >/dev/null 2>&1; then
    "${ip[@]}" link add "$BRIDGE" type bridge
    # A bridge without ports has no carrier, its address would be dead until the first pod.
    "${ip[@]}" link add carrier0 type veth peer name carrier1
    "${ip[@]}" link set carrier0 master "$BRIDGE" up
    "${ip[@]}" link set carrier1 up
    "${ip[@]}" addr add "$API_IP/24" dev "$BRIDGE"
    "${ip[@]}" link set "$BRIDGE" up
    "${ip[@]}" route add "$SERVICES" dev "$BRIDGE" # local clients of services: any route, kube-proxy rewrites it
  fi
  for ((n = 2; n <= nodes; n++)); do
    if ip -n "drydock-node$n" link show eth0 >/dev/null 2>&1; then
      ip -n drydock-node1 link set "v-node$n" up # a test that was ended may have left it down
      continue
    fi
    ip -n drydock-node1 link add "v-node$n" type veth peer name eth0 netns "drydock-node$n"
    ip -n drydock-node1 link set "v-node$n" master "$BRIDGE" up
    ip -n "drydock-node$n" addr add "$(node_ip "$n")/24" dev eth0
    ip -n "drydock-node$n" link set eth0 up
    ip -n "drydock-node$n" route add "$SERVICES" dev eth0
  done
  for ((n = 1; n <= nodes; n++)); do
    for ((m = 1; m <= nodes; m++)); do
      ((n == m)) || ip -n "drydock-node$n" route replace "$(node_pods "$m")" via "$(node_ip "$m")"
    done
    no_default_route "$n" || die "node$n has a default route"
  done
}

no_default_route() {
  [[ -z $(ip -n "drydock-node$1" -4 route show default)$(ip -n "drydock-node$1" -6 route show default) ]]
}

network_down() {
  local file
  for file in /run/netns/drydock-node*; do
    [[ -e $file ]] || continue
    umount -l "$file" 2>/dev/null || true
    rm -f "$file"
  done
  rmdir /run/netns 2>/dev/null || true
}
