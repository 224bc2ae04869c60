# Sourced by what fetches a Python wheel for a file in it.
# shellcheck shell=bash

# wheel REQUIREMENT PYTHON PLATFORM DIR: downloads one wheel to DIR; installs pip first where there is none.
wheel() {
    local cache=${DRYDOCK_CACHE:-$HOME/.cache/drydock}
    has_pip() { python3 -m pip --version >/dev/null 2>&1; }
    # One apt at a time, of all scripts: it waits for nobody who updates its lists. Another may have been quicker.
    has_pip || (flock 8 && { has_pip || { apt-get update && apt-get install -y --no-install-recommends python3-pip; }; }) \
        8>"$cache/apt.lock" >&2
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version "$2" \
        --platform "$3" --dest "$4" "$1" >&2
}
