#!/bin/bash
# Builds the product's images as OCI archives, without docker, with the content that the Dockerfiles give them, and prints
# the archives' paths. usage: e2e/images.sh OUTDIR
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"
out=${1:?usage: images.sh OUTDIR}
mkdir -p "$out"
cd "$ROOT"
release --bin drydock-operator --bin drydock-optimizer --bin inference-sidecar --bin faulty-server --bin load >&2
engine=$("$ROOT/e2e/onnxruntime.sh")

image() { # image NAME BINARY [ARGUMENT OF MKIMAGE]...: options first, then files
  local name=$1 binary=$2
  shift 2
  "$ROOT/e2e/cluster/mkimage.py" -t "localhost/drydock/$name" -o "$out/${name%:*}.tar" --user 65532:65532 \
    --entrypoint "[\"/$binary\"]" --ldd "$CARGO_TARGET_DIR/release/$binary" "$@" "$CARGO_TARGET_DIR/release/$binary:/$binary:0755" \
    /etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt >&2
}
with_engine=(--ldd "$engine" --env ORT_DYLIB_PATH=/usr/lib/libonnxruntime.so --env ORT_DISABLE_TELEMETRY=1
  "$engine:/usr/lib/libonnxruntime.so:0755")
image operator:dev drydock-operator
image optimizer:dev drydock-optimizer "${with_engine[@]}"
image inference-sidecar:dev inference-sidecar "${with_engine[@]}"
image faulty-server:dev faulty-server
image load:dev load

models=$ROOT/examples/models
"$ROOT/e2e/cluster/mkimage.py" -t localhost/drydock/fashion-models:1 -o "$out/fashion-models.tar" \
  $(cd "$models" && for f in *.onnx *.npz README.md; do echo "$models/$f:/$f"; done) >&2
"$ROOT/e2e/fixtures.py" "$out/bad-input"
"$ROOT/e2e/cluster/mkimage.py" -t localhost/drydock/bad-input:1 -o "$out/bad-input.tar" "$out/bad-input:/" >&2
ls "$out"/*.tar
