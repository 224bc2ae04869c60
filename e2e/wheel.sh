# Sourced by what fetches a Python wheel for a file in it.
# shellcheck shell=bash
. "$(dirname "${BASH_SOURCE[0]}")/apt.sh"

# wheel REQUIREMENT PYTHON PLATFORM DIR: downloads one wheel to DIR; installs pip first where there is none.
wheel() {
    package python3-pip python3 -m pip --version
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version "$2" \
        --platform "$3" --dest "$4" "$1" >&2
}
