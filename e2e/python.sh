#!/usr/bin/env bash
# Prints the directory of a Python environment with these packages, making it first where the cache does not have it.
#   $(e2e/python.sh tritonclient 'tritonclient[grpc,http]==2.73.0')/bin/python -c 'import tritonclient.http'
set -euo pipefail

name=$1 && shift
python=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
cache=${DRYDOCK_CACHE:-$HOME/.cache/drydock}
place=$cache/python/$name-$(printf '%s\n' "$@" | sha256sum | head -c 8)-python$python

if ! test -e "$place/complete"; then
    mkdir -p "$cache/python"
    # One at a time: an environment cannot be moved once it is made.
    exec 9>"$place.lock"
    flock 9
fi
if ! test -e "$place/complete"; then
    has_venv() { python3 -c 'import ensurepip' 2>/dev/null; }
    # One apt at a time, of all scripts: it waits for nobody who updates its lists. Another may have been quicker.
    has_venv || (flock 8 && { has_venv || { apt-get update && apt-get install -y --no-install-recommends python3-venv; }; }) \
        8>"$cache/apt.lock" >&2
    rm -rf "$place"
    python3 -m venv "$place"
    "$place/bin/pip" install --quiet --disable-pip-version-check --only-binary=:all: --no-compile "$@" >&2
    touch "$place/complete"
fi
echo "$place"
