#!/usr/bin/env bash
# Prints a directory with Triton's Python client in it, installing it first where the cache does not have it.
#   PYTHONPATH=$(e2e/tritonclient.sh) python3 -c 'import tritonclient.http'
set -euo pipefail

version=2.73.0
python=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
cache=${DRYDOCK_CACHE:-$HOME/.cache/drydock}/python
packages=$cache/tritonclient-$version-python$python

if ! test -d "$packages"; then
    mkdir -p "$cache"
    # In the cache, so that the last step is a rename: any number of callers may run at once.
    scratch=$(mktemp -d "$cache/.install-XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    has_pip() { python3 -m pip --version >/dev/null 2>&1; }
    # One apt at a time, of all scripts: it waits for nobody who updates its lists. Another may have been quicker.
    has_pip || (flock 8 && { has_pip || { apt-get update && apt-get install -y --no-install-recommends python3-pip; }; }) \
        8>"${DRYDOCK_CACHE:-$HOME/.cache/drydock}/apt.lock" >&2
    python3 -m pip install --quiet --disable-pip-version-check --only-binary=:all: --target "$scratch/packages" \
        "tritonclient[grpc,http]==$version" >&2
    # Another caller may have been quicker; what it installed is the same.
    mv -T "$scratch/packages" "$packages" 2>/dev/null || test -d "$packages"
fi
echo "$packages"
