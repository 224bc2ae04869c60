# How often the analysis is wrong, and how soon it is right, beside fixed thresholds on the same simulated traces: no cluster.
# shellcheck shell=bash
rows=$DRYDOCK_CACHE/bench/analysis
mkdir -p "$rows"
(cd "$ROOT" && cargo run --release -q -p drydock-sequential --example power "$rows")
cp "$rows/power.svg" "$ROOT/docs/benchmarks/power.svg"
python3 "$ROOT/e2e/bench/from_log.py" analysis "$rows/analysis.rows.json" "$ROOT/docs/benchmarks/analysis.json"
