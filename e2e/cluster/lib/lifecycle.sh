# up, down and status: the order of things.
# shellcheck shell=bash

lock() {
  mkdir -p "$CACHE"
  exec 9>"$CACHE/cluster.lock"
  flock -n 9 || { say "another up or down is running, waiting for it"; flock 9; }
  local other
  other=$(cat "$OWNER" 2>/dev/null || true)
  [[ -z $other || $other == "$STATE" || ! -e $other/nodes ]] || die "this machine runs the cluster of $other (another DRYDOCK_CACHE)"
}

# One line per thing that is wrong; nothing when all is well.
problems() {
  [[ -e $STATE/nodes ]] || { echo "no cluster is up"; return; }
  local n name nodes
  nodes=$(<"$STATE/nodes")
  same_boot || echo "the machine was restarted since"
  for ((n = 1; n <= nodes; n++)); do netns_alive "$n" || { echo "the network namespace of node$n is gone"; return; }; done
  for name in $(component_names); do recorded "$name" >/dev/null || echo "$name is not running"; done
  api_ready >/dev/null || { echo "the API server does not answer"; return; }
  for ((n = 1; n <= nodes; n++)); do
    kc get node "node$n" -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null | grep -qx True || echo "node$n is not Ready"
  done
  for name in "${ADDON_DEPLOYMENTS[@]}"; do
    kc -n kube-system get deployment "$name" -o jsonpath='{.status.availableReplicas}' 2>/dev/null | grep -qx 1 || echo "$name is not Available"
  done
}

healthy() { [[ -z $(problems) ]]; }

bring_up() {
  local n nodes=$1 imports=() import
  mkdir -p "$LOGS" "$PIDS" "$CONF"
  echo "$nodes" >"$STATE/nodes"
  boot_id >"$STATE/boot-id"
  echo "$STATE" >"$OWNER"
  save_host
  raise_sysctls
  cgroups_up
  volumes_up
  network_up
  step "network namespaces and cgroups"
  make_pki
  step "certificates"
  start_api
  for ((n = 1; n <= nodes; n++)); do start_runtime "$n"; done
  for ((n = 1; n <= nodes; n++)); do import_base_images "$n" & imports+=($!); done
  wait_for 120 "API server ready" api_ready
  start_controllers
  for ((n = 1; n <= nodes; n++)); do
    wait_for 60 "node$n: containerd ready" runtime_ready "$n"
    start_kubelet "$n"
  done
  for ((n = 1; n <= nodes; n++)); do
    wait_for 90 "node$n registered" kc get node "node$n"
    kc wait --request-timeout=0 --for=condition=Ready "node/node$n" --timeout=90s >/dev/null
    step "node$n Ready"
  done
  for import in "${imports[@]}"; do wait "$import"; done
  apply_addons
  step "add-ons applied"
  kc -n kube-system wait --request-timeout=0 --for=condition=Available --timeout=120s deployment "${ADDON_DEPLOYMENTS[@]}" >/dev/null
  step "CoreDNS and metrics-server Available"
  wait_for 60 "no problems" healthy || { problems | sed 's/^/found: /'; return 1; }
}

cmd_up() {
  local nodes="" rc repair="" found
  while (($#)); do
    case $1 in
      --nodes) nodes=${2:?--nodes N}; shift 2 ;;
      --nodes=*) nodes=${1#*=}; shift ;;
      *) die "usage: cluster up [--nodes N]" ;;
    esac
  done
  [[ ${nodes:-2} =~ ^[1-$MAX_NODES]$ ]] || die "--nodes: 1 to $MAX_NODES"
  if foreign_kubeconfig; then
    kubectl get --raw=/readyz >/dev/null || die "KUBECONFIG=$KUBECONFIG: the API server does not answer"
    say "using the cluster of KUBECONFIG=$KUBECONFIG"
    return
  fi
  need_root
  lock
  if [[ -e $STATE/nodes ]]; then
    if [[ -n $nodes && $nodes != "$(<"$STATE/nodes")" ]]; then die "a cluster of $(<"$STATE/nodes") nodes exists: 'cluster down' first"; fi
    nodes=$(<"$STATE/nodes")
    found=$(problems)
    if [[ -z $found ]]; then step "the cluster is up ($nodes nodes)"; return; fi
    printf 'found: %s\n' "${found//$'\n'/, }"
    if same_boot && netns_alive 1 && netns_alive "$nodes" && [[ -e $OWN_KUBECONFIG ]]; then
      repair=1
      say "repairing"
    else
      say "starting anew"
      take_down ""
    fi
  fi
  cmd_build
  [[ -e $STATE/nodes ]] || rm -rf "$LOGS" # those of an earlier cluster
  # Not "bring_up || ...": errexit would be off inside.
  set +e; (set -e; bring_up "${nodes:-2}"); rc=$?; set -e
  if ((rc)) && [[ -n $repair ]]; then
    say "could not repair it, starting anew"
    take_down ""
    set +e; (set -e; bring_up "$nodes"); rc=$?; set -e
  fi
  ((rc == 0)) || die "the cluster did not come up: see 'cluster status' and $LOGS"
  step "the cluster is up: try 'cluster exec kubectl get pods -A'"
}

# take_down KEEP_LOGS
take_down() {
  local n name names=()
  if [[ -e $STATE/nodes ]]; then
    for name in $(component_names); do names+=("$name"); done
    stop "${names[@]}"
  fi
  kill_tracked
  step "processes ended"
  stray_files_down
  mounts_down
  network_down
  cgroups_down
  restore_sysctls
  step "mounts, namespaces, cgroups and sysctls put back"
  local left
  left=$(leftovers)
  [[ -z $left ]] || { warn "left over:"; printf '  %s\n' "$left" >&2; exit 1; }
  find "$STATE" -mindepth 1 -maxdepth 1 ${1:+! -name logs} -exec rm -rf --one-file-system {} + 2>/dev/null || true
  rmdir "$STATE" 2>/dev/null || true
  rm -f "$OWNER"
}

cmd_down() {
  local keep=""
  [[ $# == 0 || $* == --keep-logs ]] || die "usage: cluster down [--keep-logs]"
  [[ $# == 0 ]] || keep=yes
  if foreign_kubeconfig; then say "the cluster of KUBECONFIG=$KUBECONFIG is not ours: nothing to do"; return; fi
  need_root
  lock
  take_down "$keep"
  step "the cluster is down, nothing is left${keep:+ but the logs in $LOGS}"
}

cmd_status() {
  if foreign_kubeconfig; then kubectl get --raw=/readyz >/dev/null && kubectl get nodes; return; fi
  need_root
  local name pid found
  found=$(problems)
  if [[ -e $STATE/nodes ]]; then
    for name in $(component_names); do
      if pid=$(recorded "$name"); then printf '%-26s up    pid %s\n' "$name" "$pid"; else printf '%-26s DOWN\n' "$name"; fi
    done
    echo
    kc get nodes -o wide 2>/dev/null || true
    printf '\nlogs       %s\naudit log  %s\nvolumes    %s\nkubeconfig %s\n' "$LOGS" "$LOGS/audit.log" "$STATE/volumes" "$OWN_KUBECONFIG"
  fi
  [[ -z $found ]] || { printf '\nPROBLEMS\n%s\n' "$found"; return 1; }
}
