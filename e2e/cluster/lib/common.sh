# Paths, addresses and small helpers shared by every part. Sourced, not run.
# shellcheck shell=bash disable=SC2034

CACHE=${DRYDOCK_CACHE:-$HOME/.cache/drydock}
STATE=$CACHE/cluster
PKI=$STATE/pki LOGS=$STATE/logs PIDS=$STATE/pid CONF=$STATE/conf
OWN_KUBECONFIG=$STATE/kubeconfig
KUBECONFIG_MARK='# drydock test cluster'
PV_DIR=/tmp/hostpath_pv # fixed inside kube-controller-manager's host-path provisioner

MAX_NODES=9
NODE_NET=10.200.0.0/24 API_IP=10.200.0.1
PODS=10.244.0.0/16 SERVICES=10.96.0.0/16 API_SERVICE_IP=10.96.0.1 DNS_IP=10.96.0.10
BRIDGE=br-k8s
CGROUP=drydock
OWNER=/run/drydock-cluster # names the state directory of the machine's one cluster

node_ip() { echo "10.200.0.$1"; }
node_pods() { echo "10.244.$(($1 - 1)).0/24"; }
netns_file() { echo "/run/netns/drydock-node$1"; }
socket() { echo "$STATE/node$1/containerd.sock"; }

say() { printf '%s\n' "$*"; }
warn() { printf 'cluster: %s\n' "$*" >&2; }
die() { warn "$@"; exit 1; }
now_ms() { local t=${EPOCHREALTIME/[.,]/}; echo "${t%???}"; }

# step TEXT: one line with the seconds since the command began.
STARTED_MS=$(now_ms)
step() {
  local ms=$(($(now_ms) - STARTED_MS))
  printf '%4d.%ds  %s\n' $((ms / 1000)) $((ms % 1000 / 100)) "$*"
}

# wait_for SECONDS WHAT CMD...: polls; fails with WHAT after SECONDS.
wait_for() {
  local end=$(($(now_ms) + $1 * 1000)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    (($(now_ms) < end)) || { warn "timed out waiting for: $what"; return 1; }
    sleep 0.2
  done
  step "$what"
}

# put FILE: stdin into FILE, left alone when it says that already (kube-proxy ends when its file is rewritten).
put() {
  local new
  new=$(cat)
  [[ -e $1 && $(<"$1") == "$new" ]] || printf '%s\n' "$new" >"$1"
}

in_node() { local n=$1; shift; nsenter --net="$(netns_file "$n")" -- "$@"; }
kc() { in_node 1 env KUBECONFIG="$OWN_KUBECONFIG" KUBECACHEDIR="$STATE/kubectl-cache" kubectl --request-timeout=10s "$@"; }

# True when the caller set KUBECONFIG to a cluster that is not ours.
foreign_kubeconfig() {
  [[ -n ${KUBECONFIG:-} ]] || return 1
  [[ $KUBECONFIG != "$OWN_KUBECONFIG" ]] || return 1
  ! head -n1 "$KUBECONFIG" 2>/dev/null | grep -qxF "$KUBECONFIG_MARK"
}

need_root() { [[ $EUID == 0 ]] || die "needs root (network namespaces, mounts, cgroups)"; }
