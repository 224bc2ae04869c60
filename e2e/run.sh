#!/bin/bash
# The tests on a real cluster. usage: e2e/run.sh [NAME OF A TEST...]; KUBECONFIG names another cluster than the local one.
# A cluster that was up stays up; one that is started here ends here, unless DRYDOCK_KEEP_CLUSTER is set.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"
was_up=0
"$CLUSTER" status >/dev/null 2>&1 && was_up=1
finish() {
  status=$?
  if ((status)); then
    "$CLUSTER" exec kubectl -n drydock-system logs -l app.kubernetes.io/name=drydock --tail=60 --prefix 2>/dev/null || true
    "$CLUSTER" exec kubectl get pods,modeldeployments -A 2>/dev/null || true
  fi
  ((was_up)) || [[ -n ${DRYDOCK_KEEP_CLUSTER:-} ]] || "$CLUSTER" down --keep-logs
  exit "$status"
}
trap finish EXIT
cluster_with_images
say "tests"
program=$(test_program cluster)
# The audit log of the local cluster; that of another one is where its owner says, if anywhere.
log=$("$CLUSTER" status | awk '$1 == "audit" { print $3 }')
[[ -z $log ]] || export DRYDOCK_AUDIT_LOG=${DRYDOCK_AUDIT_LOG:-$log}
"$CLUSTER" exec "$program" --test-threads=1 --nocapture "$@"
