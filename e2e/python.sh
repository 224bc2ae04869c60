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
    . "$(dirname "${BASH_SOURCE[0]}")/apt.sh"
    package python3-venv python3 -c 'import ensurepip'
    rm -rf "$place"
    python3 -m venv "$place"
    "$place/bin/pip" install --quiet --disable-pip-version-check --only-binary=:all: --no-compile "$@" >&2
    touch "$place/complete"
fi
echo "$place"
