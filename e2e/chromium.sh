#!/usr/bin/env bash
# Prints the path of a Chromium, installing Debian's first where there is none.
#   $(e2e/chromium.sh) --headless --no-sandbox --dump-dom http://localhost:8080/
set -euo pipefail

find() {
    command -v chromium || command -v chromium-browser || command -v google-chrome
}

. "$(dirname "${BASH_SOURCE[0]}")/apt.sh"
package chromium find
find
