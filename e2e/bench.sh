#!/bin/bash
# `make bench-NAME`: measures beside a reference, writes docs/benchmarks/NAME.json and docs/benchmarks.md from all of them.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"
name=${1:?usage: bench.sh NAME}
script=$ROOT/e2e/bench/$name.sh
[[ -x $script ]] || { echo "there is no benchmark named $name yet; there are: $(cd "$ROOT/e2e/bench" && ls -- *.sh | sed 's/\.sh$//' | xargs)" >&2; exit 2; }
# What is measured is measured alone.
export DRYDOCK_E2E_THREADS=1
. "$script"
python3 "$ROOT/e2e/bench/render.py" "$ROOT/docs"
