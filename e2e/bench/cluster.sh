# Start and stop of the local cluster from built binaries. The time of kubeadm-like tools on this machine is not known (they need
# Docker or systemd), so there is no reference.
# shellcheck shell=bash disable=SC2154
"$CLUSTER" build
"$CLUSTER" status >/dev/null 2>&1 && "$CLUSTER" down
ready=() down=()
for _ in 1 2 3; do
  log=$("$CLUSTER" up 2>&1 | tee /dev/stderr)
  # The last step that speaks of nodes: every one is Ready then.
  ready+=("$(grep -E 'node[0-9]+ Ready' <<<"$log" | tail -1 | grep -oE '[0-9]+\.[0-9]+' | head -1)")
  began=$(date +%s.%N)
  "$CLUSTER" down
  down+=("$(echo "$(date +%s.%N) - $began" | bc)")
done
"$CLUSTER" up
python3 - "$ROOT/docs/benchmarks/cluster.json" "${ready[*]}" "${down[*]}" <<'PY'
import datetime, json, pathlib, platform, statistics, subprocess, sys
ready, down = ([float(v) for v in a.split()] for a in sys.argv[2:4])
cpu = next(l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name"))
median = statistics.median
rows = [
    {"what": "built binaries to both nodes Ready, median of 3", "ours": f"{median(ready):.1f} s", "goal": "≤ 30 s", "holds": median(ready) <= 30},
    {"what": "down, median of 3", "ours": f"{median(down):.1f} s"},
]
pathlib.Path(sys.argv[1]).write_text(json.dumps({"machine": f"{cpu}, {__import__('os').cpu_count()} cores", "date": str(datetime.date.today()), "rows": rows}, indent=1, ensure_ascii=False) + "\n")
PY
