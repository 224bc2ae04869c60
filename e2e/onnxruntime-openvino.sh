#!/usr/bin/env bash
# Prints the path of an ONNX Runtime library with OpenVINO beside it, fetching both first where the cache does not have them.
#   export ORT_DYLIB_PATH=$(e2e/onnxruntime-openvino.sh)
set -euo pipefail

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
    has_pip() { python3 -m pip --version >/dev/null 2>&1; }
    # One apt at a time, of all scripts: it waits for nobody who updates its lists. Another may have been quicker.
    has_pip || (flock 8 && { has_pip || { apt-get update && apt-get install -y --no-install-recommends python3-pip; }; }) \
        8>"${DRYDOCK_CACHE:-$HOME/.cache/drydock}/apt.lock" >&2
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.11 \
        --platform manylinux_2_28_x86_64 --dest "$scratch" "onnxruntime-openvino==$version" >&2
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
