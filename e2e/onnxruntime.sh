#!/usr/bin/env bash
# Prints the path of the ONNX Runtime library, fetching it first where the cache does not have it.
#   export ORT_DYLIB_PATH=$(e2e/onnxruntime.sh)
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/wheel.sh"

version=1.31.1
case $(uname -m) in
x86_64) sha256=fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3 ;;
aarch64) sha256=8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467 ;;
*) echo "no ONNX Runtime is known for $(uname -m); set ORT_DYLIB_PATH" >&2 && exit 1 ;;
esac

cache=${DRYDOCK_CACHE:-$HOME/.cache/drydock}/onnxruntime/$version
library=$cache/libonnxruntime.so

whole() { echo "$sha256  $1" | sha256sum --check --status 2>/dev/null; }

if ! whole "$library"; then
    mkdir -p "$cache"
    # In the cache, so that the last step is a rename: any number of callers may run at once.
    scratch=$(mktemp -d "$cache/.fetch-XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    wheel "onnxruntime==$version" 3.11 "manylinux_2_28_$(uname -m)" "$scratch"
    python3 -m zipfile --extract "$scratch"/*.whl "$scratch"
    found=$scratch/onnxruntime/capi/libonnxruntime.so.$version
    whole "$found" || { echo "found $(sha256sum "$found"); expected $sha256" >&2 && exit 1; }
    mv "$found" "$library"
fi
echo "$library"
