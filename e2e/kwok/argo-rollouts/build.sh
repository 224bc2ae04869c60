#!/bin/bash
# Compiles the controller of Argo Rollouts, for comparison, and prints the directory that it and its CRDs are in. Cached; some minutes of
# CPU the first time.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
# Newer than the Go of the cluster's programs.
export GOTOOLCHAIN=go1.27.3 CGO_ENABLED=0
key=$(cat go.mod go.sum | sha256sum)
out=${DRYDOCK_CACHE:-$HOME/.cache/drydock}/argo-rollouts/${key:0:16}
if [[ ! -e $out/.complete ]]; then
  mkdir -p "$out/crds"
  nice -n 5 go build -trimpath -buildvcs=false -ldflags "-s -w" -o "$out/" tool >&2
  cp "$(go list -m -f '{{.Dir}}' github.com/argoproj/argo-rollouts)"/manifests/crds/*-crd.yaml "$out/crds/"
  touch "$out/.complete"
fi
echo "$out"
