# Sourced by what may need a package of Debian's.
# shellcheck shell=bash

# package NAME CHECK...: installs Debian's NAME where the command CHECK fails.
package() {
    local cache=${DRYDOCK_CACHE:-$HOME/.cache/drydock} name=$1
    shift
    "$@" >/dev/null 2>&1 && return
    mkdir -p "$cache"
    # One apt at a time, of all scripts: it waits for nobody who updates its lists. Another may have been quicker.
    (flock 8 && { "$@" >/dev/null 2>&1 || { apt-get update && apt-get install -y --no-install-recommends "$name"; }; }) \
        8>"$cache/apt.lock" >&2
}
