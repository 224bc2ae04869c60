#!/usr/bin/env bash
# Prints the path of a Chromium, installing Debian's first where there is none.
#   $(e2e/chromium.sh) --headless --no-sandbox --dump-dom http://localhost:8080/
set -euo pipefail

find() {
    command -v chromium || command -v chromium-browser || command -v google-chrome
}

find && exit
# Any number of callers may run at once: apt waits for its lock, and finds it installed then.
apt-get update >&2
apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends chromium >&2
find
