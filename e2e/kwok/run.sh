#!/bin/bash
# What is tried on a control plane without machines. usage: e2e/kwok/run.sh crash|soak|spec|shards [NAME OF A TEST...]
#                                                           e2e/kwok/run.sh scale [COUNT]
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../lib.sh"
PLANE=$ROOT/e2e/kwok/control-plane
what=${1:?usage: e2e/kwok/run.sh crash|soak|spec|shards|scale}
shift
trap '"$PLANE" down >/dev/null' EXIT

say "programs"
# The operator and what is done to it, in the profile of the images.
case $what in
  scale) release --bin drydock-operator --bin scale ;;
  *)
    release --bin drydock-operator
    program=$(test_program "$what")
    ;;
esac
export DRYDOCK_OPERATOR=$CARGO_TARGET_DIR/release/drydock-operator
"$PLANE" build
# For the operator's clock: out of its package, and not installed, as nothing else is to have it.
faketime=$DRYDOCK_CACHE/faketime
[[ -e $faketime/.complete ]] || {
  mkdir -p "$faketime"
  download() { flock "$DRYDOCK_CACHE/apt.lock" apt-get "$@" >>"$DRYDOCK_CACHE/apt.log" 2>&1; }
  (cd "$faketime" && { download download libfaketime || { download update && download download libfaketime; }; } &&
    dpkg -x libfaketime_*.deb . && touch .complete)
}
DRYDOCK_FAKETIME=$(find "$faketime" -name libfaketimeMT.so.1)
export DRYDOCK_FAKETIME
case $what in
  scale)
    count=${1:-1000}
    out=$(mktemp -d)
    argo=$("$ROOT/e2e/kwok/argo-rollouts/build.sh")
    # Two pods of each during the change, and 110 on a node.
    "$PLANE" up $((count / 40 + 10))
    "$PLANE" kubeconfig drydock >"$out/drydock.kubeconfig"
    "$PLANE" kubeconfig argo-rollouts >"$out/argo.kubeconfig"
    for crd in "$argo"/crds/*-crd.yaml; do "$PLANE" exec kubectl apply --server-side -f "$crd" >/dev/null; done
    "$PLANE" exec kubectl create namespace argo-rollouts >/dev/null
    "$PLANE" exec "$CARGO_TARGET_DIR/release/scale" drydock --count "$count" --rest-seconds "${REST_SECONDS:-60}" \
      --program "$DRYDOCK_OPERATOR" --user-kubeconfig "$out/drydock.kubeconfig" --log "$out/drydock.log" --shards "${SHARDS:-0}"
    "$PLANE" exec "$CARGO_TARGET_DIR/release/scale" argo --count "$count" --rest-seconds "${REST_SECONDS:-60}" \
      --program "$argo/rollouts-controller" --user-kubeconfig "$out/argo.kubeconfig" --log "$out/argo.log"
    ;;
  *)
    "$PLANE" up 10
    "$PLANE" exec "$program" --test-threads=1 --nocapture "$@"
    ;;
esac
