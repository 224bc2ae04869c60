#!/usr/bin/env python3
"""What the splitter costs, without a cluster: splitter.py WORK OUT puts rows into the JSON file OUT, which is there already.

Two sidecars of the same package, a stable pod and its canary. The stable pod is told of a share, and then of none, by turns; when it is told nothing,
the client itself sends the same share to the canary, so that the canary is as busy, and as cold. It is one process both times, as two may differ by more than
what is looked for; what it costs to be able to split, and not to, is not in the difference. CPU time is that of the pod and the canary.
"""
import json
import os
import pathlib
import statistics
import sys
import time

from servers import sidecar, work

# In a pair of runs the one takes up to a tenth more than the other, by what else the machine does; what is looked for is a fiftieth.
ROUNDS = int(os.environ.get("SPLITTER_ROUNDS", "40"))
# Percent that go to the canary.
SPLITS = (0, 10, 50)
MODELS_AND_REQUESTS = {"mobilenet": 300, "null": 1500}


def cpu_ms(server):
    """Of its CPU clock (clock_getcpuclockid(3)), in nanoseconds: /proc counts in hundredths of a second, 0.6 % of what 300 requests take."""
    return time.clock_gettime(~server.process.pid << 3 | 2) * 1000


def tell(file, weight, window):
    """As the kubelet does it: a new file takes the old one's place. Without a weight nothing, which is no split."""
    split = {"weight": weight, "revision": "canary", "window": window, "compare": 0, "timeoutMilliseconds": 1000}
    file.with_suffix(".new").write_text("" if weight is None else json.dumps(split))
    file.with_suffix(".new").rename(file)
    time.sleep(1)


def measure(model, requests):
    canary = sidecar(f"canary-{model}", model, 1)()
    file = work / f"split-{model}"
    stable = sidecar(f"stable-{model}", model, 1, split_file=file, canary_http=f"http://127.0.0.1:{canary.http}", canary_grpc=f"http://127.0.0.1:{canary.grpc}")()
    seen = {weight: [] for weight in SPLITS}

    def load(n, weight, is_split):
        tell(file, weight if is_split else None, f"{n}-{weight}")
        by_client = [] if is_split else ["--other", f"127.0.0.1:{canary.http}", "--other-percent", weight]
        before = cpu_ms(stable) + cpu_ms(canary)
        # One after another: what waits for a core of two is not the splitter's latency.
        loaded = stable.load("binary", requests, "--connections", 1, *by_client)
        spent = cpu_ms(stable) + cpu_ms(canary) - before
        if loaded["failed"]:
            raise RuntimeError(f"{weight} %: {loaded}")
        return spent / loaded["answered"], loaded["p50_ms"], loaded["p99_ms"]

    try:
        for way in ("binary", "grpc"):
            for server in (stable, canary):
                server.load(way, requests // 5)
        for n in range(ROUNDS):
            for weight in SPLITS:
                # The one and the other first, by turns.
                first = n % 2 == 0
                halves = {is_split: load(n, weight, is_split) for is_split in (first, not first)}
                seen[weight].append((halves[True], halves[False]))
                print(f"splitter, {model}, round {n}, {weight} %: {seen[weight][-1]}", flush=True)
    finally:
        for server in (stable, canary):
            server.stop()
    rows = []
    said = "MobileNetV2 int8" if model == "mobilenet" else "a model that does next to nothing"
    for weight, halves in seen.items():
        for i, what in enumerate(("CPU of a request, both pods", "p50", "p99")):
            ours, reference = (statistics.median(half[side][i] for half in halves) for side in (0, 1))
            # In pairs of one round, so that what else the machine does hits both alike.
            ratio = statistics.median(split[i] / plain[i] for split, plain in halves)
            goal = model == "mobilenet" and i < 2 and weight < 50
            rows.append({
                "what": f"splitter, {weight} % to the canary, {said}: {what}; reference: the client sends them there", "ours": f"{ours:.3f} ms", "reference": f"{reference:.3f} ms",
                "ratio": f"{ratio:.3f}", "goal": "≤ 1.03" if goal else "", "holds": ratio <= 1.03 if goal else None,
            })
    return rows


out = pathlib.Path(sys.argv[2])
rows = [row for model, requests in MODELS_AND_REQUESTS.items() for row in measure(model, requests)]
bench_file = json.loads(out.read_text())
bench_file["rows"] = [row for row in bench_file["rows"] if not row["what"].startswith("splitter,")] + rows
out.write_text(json.dumps(bench_file, indent=1, ensure_ascii=False) + "\n")
