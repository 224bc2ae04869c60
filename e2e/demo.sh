#!/bin/bash
# `make demo`: from a bare machine to a model that is optimized, served, rolled out and rolled back.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"
cluster_with_images
release --bin demo
say "the loop"
"$CLUSTER" exec "$CARGO_TARGET_DIR/release/demo"
say "done"
