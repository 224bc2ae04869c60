#!/usr/bin/env bash
# Prints the path of an ONNX Runtime library with OpenVINO beside it, fetching both first where the cache does not have them.
#   export ORT_DYLIB_PATH=$(e2e/onnxruntime-openvino.sh)
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/wheel.sh"

version=1.24.1
sha256=3007c803634cc69c6d52af1dea7ce729d9bb62b9a11070fd2f959119199007a8
[[ $(uname -m) = x86_64 ]] || { echo "no ONNX Runtime with OpenVINO is known for $(uname -m); set ORT_DYLIB_PATH" >&2 && exit 1; }

cache=${DRYDOCK_CACHE:-$HOME/.cache/drydock}/onnxruntime-openvino
library=$cache/$version/libonnxruntime.so

if ! test -e "$library"; then
    mkdir -p "$cache"
    # In the cache, so that the last step is a rename: any number of callers may run at once.
    scratch=$(mktemp -d "$cache/.fetch-XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    wheel "onnxruntime-openvino==$version" 3.11 manylinux_2_28_x86_64 "$scratch"
    echo "$sha256  $(echo "$scratch"/*.whl)" | sha256sum --check --status ||
        { echo "found $(sha256sum "$scratch"/*.whl); expected $sha256" >&2 && exit 1; }
    python3 -m zipfile --extract "$scratch"/*.whl "$scratch"
    # All but the module for Python.
    mkdir "$scratch/$version"
    mv "$scratch"/onnxruntime/capi/lib*.so* "$scratch/$version"
    mv "$scratch/$version/libonnxruntime.so.$version" "$scratch/$version/libonnxruntime.so"
    mv -T "$scratch/$version" "$cache/$version" 2>/dev/null || test -e "$library"
fi
echo "$library"
