# What run.sh, demo.sh and bench.sh share: caches, the cluster with this clone's images, and the programs that talk to it.
# shellcheck shell=bash
ROOT=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
CLUSTER=$ROOT/e2e/cluster/cluster
export DRYDOCK_CACHE=${DRYDOCK_CACHE:-$HOME/.cache/drydock}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$DRYDOCK_CACHE/target}
# For all builds in the profile of the images: with it for the plugin alone, the crates that it is made of would be compiled twice.
export RUSTC_WORKSPACE_WRAPPER=$ROOT/e2e/plugin-rustc.sh
STARTED=$SECONDS

say() { printf '\e[1m%4d s  %s\e[0m\n' $((SECONDS - STARTED)) "$*"; }

# release --bin NAME...: builds programs in the profile of the images. Always of the same packages, so that their dependencies have the same
# features, and are not compiled again.
release() {
  (cd "$ROOT" && cargo build --release --locked -p drydock-operator -p kubectl-drydock -p drydock-optimizer -p inference-sidecar -p drydock-e2e -p drydock-kwok "$@")
}

# The cluster is up and has the images of this clone.
cluster_with_images() {
  say "cluster programs (built once, then cached)"
  "$CLUSTER" build
  say "product images"
  mapfile -t archives < <("$ROOT/e2e/images.sh" "$DRYDOCK_CACHE/images")
  say "cluster"
  "$CLUSTER" up
  # DRYDOCK_IMAGES_LOADED: somebody has done it, on a cluster where we do not know how.
  [[ -n ${DRYDOCK_IMAGES_LOADED:-} ]] || "$CLUSTER" load "${archives[@]}"
  # Pods of an earlier build are replaced when the images have changed.
  DRYDOCK_IMAGES=$(cat "${archives[@]/%/.key}" | sha256sum | cut -c1-16)
  export DRYDOCK_IMAGES
}

# test_program TARGET: the path of a compiled test, of those that need a cluster or a control plane. In the profile of the images, whose
# dependencies are built, and all of one selection, so that they are not built again for each.
test_program() {
  cd "$ROOT"
  cargo test --release --locked -p drydock-e2e -p drydock-kwok --test "$1" --no-run --message-format=json-render-diagnostics |
    jq -r 'select(.executable != null and .target.kind == ["test"]) | .executable' | tail -1
}
