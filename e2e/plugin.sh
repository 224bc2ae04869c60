#!/usr/bin/env bash
# Builds kubectl-drydock as one static program, which needs nothing of the machine it is put on, and prints its path: e2e/plugin.sh
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"
out=$CARGO_TARGET_DIR/static/kubectl-drydock
release --bin kubectl-drydock >&2
headers=$(readelf --program-headers --dynamic --wide "$CARGO_TARGET_DIR/release/kubectl-drydock")
if grep -E 'INTERP|NEEDED' <<<"$headers" >&2; then
  echo "kubectl-drydock is not static: it asks for the above" >&2
  exit 1
fi
# Any other build of the workspace puts a dynamic one in that place.
mkdir -p "${out%/*}"
install -m 755 "$CARGO_TARGET_DIR/release/kubectl-drydock" "$out.$$"
mv "$out.$$" "$out"
echo "$out"
