#!/usr/bin/env bash
# Prints the path of a Chromium, installing Debian's first where there is none.
#   $(e2e/chromium.sh) --headless --no-sandbox --dump-dom http://localhost:8080/
set -euo pipefail

find() {
    command -v chromium || command -v chromium-browser || command -v google-chrome
}

find && exit
cache=${DRYDOCK_CACHE:-$HOME/.cache/drydock}
mkdir -p "$cache"
# One at a time, of all scripts: apt waits for nobody who updates its lists. Another may have been quicker.
exec 8>"$cache/apt.lock"
flock 8
find && exit
{ apt-get update && apt-get install -y --no-install-recommends chromium; } >&2
find
