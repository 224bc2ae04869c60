# What tests do to the cluster on purpose, and take back.
# shellcheck shell=bash

# cmd_cut FROM TO: the one address is not heard by the other any more, also where a connection stands.
cmd_cut() {
  (($# == 2)) || die "usage: cluster cut FROM-ADDRESS TO-ADDRESS"
  each_node nft -f - <<<"add table ip drydock-cut
    add chain ip drydock-cut forward { type filter hook forward priority -10 ; }
    add rule ip drydock-cut forward ip saddr $1 ip daddr $2 drop"
}

cmd_mend() { each_node nft -f - <<<"add table ip drydock-cut
    delete table ip drydock-cut"; }

each_node() { # each_node CMD...: with our own stdin for each
  local n stdin
  ours_alone
  stdin=$(cat)
  for ((n = 1; n <= $(<"$STATE/nodes"); n++)); do in_node "$n" "$@" <<<"$stdin"; done
}

# cmd_freeze NODE: its kubelet says and does nothing, its pods go on.
cmd_freeze() { kubelet_signal STOP "$@"; }
cmd_thaw() { kubelet_signal CONT "$@"; }
kubelet_signal() {
  (($# == 2)) || die "usage: cluster freeze|thaw NODE"
  ours_alone
  local pid
  pid=$(recorded "kubelet-$2") || die "no kubelet of $2 runs"
  kill "-$1" "$pid"
}

# cmd_unplug NODE: nobody hears it, and it hears nobody. Not node1, which has the control plane.
cmd_unplug() { link down "$@"; }
cmd_plug() { link up "$@"; }
link() {
  (($# == 2)) && [[ $2 =~ ^node[2-9]$ ]] || die "usage: cluster unplug|plug NODE (node2 and later)"
  ours_alone
  ip -n drydock-node1 link set "v-$2" "$1"
}

# cmd_volume NAME SIZE [BYTES-PER-SECOND]: prints the path of a directory that has no more room than that, for a PersistentVolume; again
# with another size, it has that. With a rate it is read and written so slowly. It goes with the cluster.
cmd_volume() {
  (($# == 2 || $# == 3)) || die "usage: cluster volume NAME SIZE [BYTES-PER-SECOND]"
  ours_alone
  local dir=$STATE/small/$1
  mkdir -p "$dir"
  if mountpoint -q "$dir"; then mount -o "remount,size=$2" "$dir"; else mount -t tmpfs -o "size=$2,mode=1777" drydock "$dir"; fi
  if (($# == 3)); then
    mkdir -p "$dir-slow"
    start "bindfs-$1" 1 bindfs -f --read-rate="$3" --write-rate="$3" "$dir" "$dir-slow"
    wait_for 10 "a slow directory" mountpoint -q "$dir-slow" >&2
    dir=$dir-slow
  fi
  echo "$dir"
}

ours_alone() {
  if foreign_kubeconfig; then die "only the local cluster can be broken on purpose"; fi
  need_root
}
