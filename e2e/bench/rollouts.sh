# What the end-to-end tests measure on the real cluster: e2e/tests/cluster.
# shellcheck shell=bash
log=$DRYDOCK_CACHE/bench/rollouts.log
mkdir -p "$DRYDOCK_CACHE/bench"
DRYDOCK_E2E_PROMOTIONS=20 DRYDOCK_E2E_ROLLBACKS=100 "$ROOT/e2e/run.sh" quickstart:: bad_canaries:: operator_killed:: promotions:: ab_test:: 2>&1 | tee "$log"
"$ROOT/e2e/run.sh" --gateway 2>&1 | tee -a "$log"
python3 "$ROOT/e2e/bench/from_log.py" rollouts "$log" "$ROOT/docs/benchmarks/rollouts.json"
# What the splitter costs, without a cluster and without its noise.
. "$ROOT/e2e/bench/serving/environment.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 "$ROOT/e2e/bench/splitter.py" "$work" "$ROOT/docs/benchmarks/rollouts.json"
# Type-I error and power, in their own table.
. "$ROOT/e2e/bench/analysis.sh"
