#!/usr/bin/env bash
# Prints the folder of the node test models that the onnx package ships, fetching them first where the cache does not have
# them: DIR/VERSION/TEST/model.onnx and its data sets. 1.18.0 is opset 23; 1.7.0 is opset 12, what came before 13.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/wheel.sh"

cache=${DRYDOCK_CACHE:-$HOME/.cache/drydock}/onnx-node-tests

# VERSION PYTHON PLATFORM SHA256: any wheel of the version has the same models.
fetch() {
    [[ -d $cache/$1 ]] && return
    mkdir -p "$cache"
    # In the cache, so that the last step is a rename: any number of callers may run at once.
    scratch=$(mktemp -d "$cache/.fetch-XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    wheel "onnx==$1" "$2" "$3" "$scratch"
    echo "$4  $(echo "$scratch"/*.whl)" | sha256sum --check --status ||
        { echo "found $(sha256sum "$scratch"/*.whl); expected $4" >&2 && exit 1; }
    python3 -m zipfile --extract "$scratch"/*.whl "$scratch/all"
    mv -T "$scratch/all/onnx/backend/test/data/node" "$cache/$1" 2>/dev/null || [[ -d $cache/$1 ]]
    rm -rf "$scratch"
    trap - EXIT
}

fetch 1.18.0 3.11 manylinux2014_x86_64 6acafb3823238bbe8f4340c7ac32fb218689442e074d797bee1c5c9a02fdae75
fetch 1.7.0 3.8 manylinux1_x86_64 95eab1dd6fe2a2834647c8c18ce75764a5475185e9c9544544e81255d2651098
echo "$cache"
