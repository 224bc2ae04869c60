#!/bin/bash
# The tests on a real cluster, DRYDOCK_E2E_THREADS (2) at a time. usage: e2e/run.sh [--gateway] [NAME OF A TEST...]; KUBECONFIG names another cluster than the local one.
# A cluster that was up stays up; one that is started here ends here, unless DRYDOCK_KEEP_CLUSTER is set.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"
was_up=0
gateway_up=0
said=$(mktemp)
tests=cluster
if [[ ${1:-} == --gateway ]]; then
  # Those that need a gateway, which takes long to compile the first time.
  tests=gateway
  shift
fi
"$CLUSTER" status >/dev/null 2>&1 && was_up=1
finish() {
  status=$?
  if ((status)); then
    "$CLUSTER" exec kubectl -n drydock-system logs -l app.kubernetes.io/name=drydock --tail=60 --prefix 2>/dev/null || true
    "$CLUSTER" exec kubectl get pods,modeldeployments -A 2>/dev/null || true
    # Again, and last: the output of hours may be read from its end alone.
    say "what failed"
    grep -aE -A12 '^Error: |panicked at ' "$said" | cut -c1-600 | tail -80 || true
  fi
  rm -f "$said"
  ((gateway_up == 0)) || "$ROOT/e2e/gateway/gateway" down >/dev/null || true
  ((was_up)) || [[ -n ${DRYDOCK_KEEP_CLUSTER:-} ]] || "$CLUSTER" down --keep-logs
  exit "$status"
}
trap finish EXIT
cluster_with_images
if [[ $tests == gateway ]]; then
  say "gateway (built once, then cached)"
  "$ROOT/e2e/gateway/gateway" build
  # What somebody else's cluster has of it is theirs, and would go with ours at the end.
  "$CLUSTER" exec kubectl get crd/gateways.gateway.networking.k8s.io >/dev/null 2>&1 &&
    { echo "this cluster has the Gateway API already: the gateway's tests bring their own, and take it away again" >&2; exit 2; }
  gateway_up=1
  "$ROOT/e2e/gateway/gateway" up
fi
say "tests"
program=$(test_program "$tests")
if [[ $tests == cluster ]]; then
  DRYDOCK_PLUGIN=$("$ROOT/e2e/plugin.sh")
  export DRYDOCK_PLUGIN
fi
# The audit log of the local cluster; that of another one is where its owner says, if anywhere.
log=$("$CLUSTER" status | awk '$1 == "audit" { print $3 }')
[[ -z $log ]] || export DRYDOCK_AUDIT_LOG=${DRYDOCK_AUDIT_LOG:-$log}
# They wait for most of their time, and two of them have room beside each other; those with a gateway share it.
threads=${DRYDOCK_E2E_THREADS:-2}
[[ $tests == cluster ]] || threads=1
# They are stripped: a backtrace has no names.
export RUST_BACKTRACE=0
"$CLUSTER" exec "$program" --test-threads="$threads" --nocapture "$@" 2>&1 | tee "$said"
