# What the cluster touches on the host, and how that is put back: sysctls, cgroups, mounts, stray files.
# shellcheck shell=bash

# Set here (inotify) or by the kubelet (the rest); network sysctls belong to the namespaces.
HOST_SYSCTLS=(fs.inotify.max_user_instances fs.inotify.max_user_watches kernel.panic kernel.panic_on_oops
  kernel.keys.root_maxkeys kernel.keys.root_maxbytes vm.overcommit_memory vm.panic_on_oom)

boot_id() { cat /proc/sys/kernel/random/boot_id; }
same_boot() { [[ -e $STATE/boot-id && $(<"$STATE/boot-id") == "$(boot_id)" ]]; }

save_host() {
  [[ ! -e $STATE/host-sysctls ]] || return 0
  [[ -e /var/lib/kubelet ]] || touch "$STATE/made-var-lib-kubelet" # the socket's path there is fixed
  sysctl -e "${HOST_SYSCTLS[@]}" >"$STATE/host-sysctls.part"
  mv "$STATE/host-sysctls.part" "$STATE/host-sysctls"
}

raise_sysctls() {
  local pair
  for pair in fs.inotify.max_user_instances=8192 fs.inotify.max_user_watches=1048576; do
    (($(sysctl -n "${pair%=*}") >= ${pair#*=})) || sysctl -qw "$pair" || warn "could not set $pair"
  done
}

restore_sysctls() { # a reboot has reset them already
  if same_boot && [[ -e $STATE/host-sysctls ]]; then sysctl -q -p "$STATE/host-sysctls"; fi
}

cgroup_mounts() { awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/self/mounts; }

cgroups_up() {
  local root dir
  while read -r root; do
    for dir in "$root/$CGROUP" "$root/$CGROUP"/{daemons,node{1..9}}; do
      [[ $dir != */node* || ${dir##*/node} -le $(<"$STATE/nodes") ]] || continue
      mkdir -p "$dir"
      if [[ -e $dir/cpuset.mems && ! -e $dir/cgroup.controllers ]]; then # v1: empty at first, unusable
        cat "$root/cpuset.cpus" >"$dir/cpuset.cpus"
        cat "$root/cpuset.mems" >"$dir/cpuset.mems"
      fi
    done
  done < <(cgroup_mounts)
  [[ -e /sys/fs/cgroup/cgroup.controllers ]] || return 0
  local c # v2: hand the controllers down to the nodes
  for c in cpuset cpu io memory pids hugetlb; do
    for dir in /sys/fs/cgroup{,/"$CGROUP",/"$CGROUP"/node*}; do
      echo "+$c" >"$dir/cgroup.subtree_control" 2>/dev/null || true
    done
  done
}

cgroups_down() {
  local root i
  for root in $(cgroup_mounts); do
    for ((i = 0; i < 20; i++)); do # a cgroup stays busy a moment after its last process
      [[ -d $root/$CGROUP ]] || break
      find "$root/$CGROUP" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.1
    done
  done
}

own_mounts() { awk -v dir="$STATE/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | sort -r; }

mounts_down() {
  local mount
  while read -r mount; do umount -l "$(printf '%b' "${mount//\\/\\0}")" || true; done < <(own_mounts)
}

# The provisioner's path is fixed; a link brings the data into the state directory.
volumes_up() {
  mkdir -p "$STATE/volumes"
  [[ $(readlink "$PV_DIR") != "$STATE/volumes" ]] || return 0
  [[ ! -e $PV_DIR && ! -L $PV_DIR ]] || die "$PV_DIR exists and is not ours, please move it away"
  ln -s "$STATE/volumes" "$PV_DIR"
}

# Files at paths fixed inside containerd, libcni and the kubelet: only the entries that are ours.
stray_files() {
  local file
  if [[ $(readlink "$PV_DIR") == "$STATE/volumes" ]]; then echo "$PV_DIR"; fi
  for file in /var/log/containers/*; do
    if [[ $(readlink "$file") == "$STATE"/* ]]; then echo "$file"; fi
  done
  grep -lsF "\"$STATE/" /var/lib/cni/results/* || true
  if [[ -e $STATE/made-var-lib-kubelet ]]; then find /var/lib/kubelet/device-plugins -type s 2>/dev/null || true; fi
  find "$STATE" -path '*/containerd/state/*/bootstrap.json' -exec jq -r '.address // empty' {} + 2>/dev/null |
    while IFS= read -r file; do [[ ! -e ${file#unix://} ]] || echo "${file#unix://}"; done
}

stray_files_down() {
  local file dir
  while IFS= read -r file; do rm -f "$file"; done < <(stray_files)
  for dir in /var/log/containers /var/lib/cni/results /var/lib/cni \
    /var/lib/kubelet/device-plugins /var/lib/kubelet /run/containerd/s /run/containerd/fifo /run/containerd; do
    rmdir "$dir" 2>/dev/null || true
  done
}

# Prints whatever is still there; nothing when `down` did its work.
leftovers() {
  local root name value file
  tracked | sed 's/^/process /'
  own_mounts | sed 's/^/mount /'
  for root in $(cgroup_mounts); do [[ ! -d $root/$CGROUP ]] || echo "cgroup $root/$CGROUP"; done
  for file in /run/netns/drydock-node*; do [[ ! -e $file ]] || echo "network namespace $file"; done
  ip -o link show 2>/dev/null | grep -E " ($BRIDGE|cni0|carrier[01]|v-node[0-9])[@:]" | sed 's/^/link /' || true
  stray_files | sed 's/^/file /'
  for file in iptables-save ip6tables-save "nft list ruleset"; do
    $file 2>/dev/null | grep -E 'KUBE-|kube-proxy|CNI-' | sed 's/^/rule /' || true
  done
  if same_boot && [[ -e $STATE/host-sysctls ]]; then
    while read -r name _ value; do
      [[ $(sysctl -n "$name") == "$value" ]] || echo "sysctl $name is $(sysctl -n "$name"), was $value"
    done <"$STATE/host-sysctls"
  fi
}
