# What the end-to-end tests measure on the real cluster: e2e/tests/cluster.
# shellcheck shell=bash
log=$DRYDOCK_CACHE/bench/scaling.log
mkdir -p "$DRYDOCK_CACHE/bench"
DRYDOCK_E2E_REST_SECONDS=600 "$ROOT/e2e/run.sh" autoscaling:: 2>&1 | tee "$log"
python3 "$ROOT/e2e/bench/from_log.py" scaling "$log" "$ROOT/docs/benchmarks/scaling.json"
