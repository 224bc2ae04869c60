#!/usr/bin/env bash
# Prints the path of Schemathesis, installing it first where the cache does not have it.
#   $(e2e/schemathesis.sh) run http://localhost:8080/openapi.json
set -euo pipefail

version=4.32.5
python=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
cache=${DRYDOCK_CACHE:-$HOME/.cache/drydock}/python
place=$cache/schemathesis-$version-python$python

if ! test -x "$place/bin/schemathesis"; then
    mkdir -p "$cache"
    # One at a time: an environment cannot be moved once it is made.
    exec 9>"$place.lock"
    flock 9
fi
if ! test -x "$place/bin/schemathesis"; then
    has_venv() { python3 -c 'import ensurepip' 2>/dev/null; }
    # One apt at a time, of all scripts: it waits for nobody who updates its lists. Another may have been quicker.
    has_venv || (flock 8 && { has_venv || { apt-get update && apt-get install -y --no-install-recommends python3-venv; }; }) \
        8>"${DRYDOCK_CACHE:-$HOME/.cache/drydock}/apt.lock" >&2
    rm -rf "$place"
    python3 -m venv "$place"
    "$place/bin/pip" install --quiet --disable-pip-version-check --only-binary=:all: "schemathesis==$version" >&2
fi
echo "$place/bin/schemathesis"
