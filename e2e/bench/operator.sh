# What the end-to-end tests measure on the real cluster, and how the operator does with SCALE_COUNT (1,000) objects on nodes of kwok, beside
# Argo Rollouts (e2e/kwok).
# shellcheck shell=bash
mkdir -p "$DRYDOCK_CACHE/bench"
log=$DRYDOCK_CACHE/bench/operator-scale.log
"$ROOT/e2e/kwok/run.sh" scale "${SCALE_COUNT:-1000}" 2>&1 | tee "$log"
python3 "$ROOT/e2e/bench/from_log.py" operator "$log" "$ROOT/docs/benchmarks/operator.json"
log=$DRYDOCK_CACHE/bench/operator.log
DRYDOCK_E2E_REST_SECONDS=600 "$ROOT/e2e/run.sh" quiet:: 2>&1 | tee "$log"
python3 "$ROOT/e2e/bench/from_log.py" operator "$log" "$ROOT/docs/benchmarks/operator.json"
