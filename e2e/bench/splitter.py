#!/usr/bin/env python3
"""What the splitter costs, without a cluster: splitter.py WORK OUT puts rows into the JSON file OUT, which is there already.

Two sidecars of the same package, as a stable and a canary pod. The stable one is loaded, and told of a share from round to round; CPU time is that of
both processes.
"""
import json
import os
import pathlib
import statistics
import sys
import time

from servers import sidecar, work

ROUNDS = int(os.environ.get("SPLITTER_ROUNDS", "5"))
# Percent that go to the canary.
SPLITS = {"no splitter": None, "0 %": 0, "10 %": 10, "50 %": 50}
MODELS_AND_REQUESTS = {"mobilenet": 300, "null": 1500}


def cpu_ms(server):
    fields = pathlib.Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def tell(file, weight, window):
    """As the kubelet does it: a new file takes the old one's place."""
    split = {"weight": weight, "revision": "canary", "window": window, "compare": 0, "timeoutMilliseconds": 1000}
    file.with_suffix(".new").write_text(json.dumps(split))
    file.with_suffix(".new").rename(file)
    time.sleep(1)


def measure(model, requests):
    canary = sidecar(f"canary-{model}", model, 1)()
    file = work / f"split-{model}"
    stable = sidecar(f"stable-{model}", model, 1, split_file=file, canary_http=f"http://127.0.0.1:{canary.http}", canary_grpc=f"http://127.0.0.1:{canary.grpc}")()
    plain = sidecar(f"plain-{model}", model, 1)()
    seen = {name: [] for name in SPLITS}
    try:
        for way in ("binary", "grpc"):
            for server in (stable, plain, canary):
                server.load(way, requests // 5)
        for n in range(ROUNDS):
            for name, weight in SPLITS.items():
                server = plain if weight is None else stable
                if weight is not None:
                    tell(file, weight, f"{n}-{weight}")
                before = cpu_ms(server) + cpu_ms(canary)
                # One after another: what waits for a core of two is not the splitter's latency.
                loaded = server.load("binary", requests, "--connections", 1)
                spent = cpu_ms(server) + cpu_ms(canary) - before
                if loaded["failed"]:
                    raise RuntimeError(f"{name}: {loaded}")
                seen[name].append((spent / loaded["answered"], loaded["p50_ms"], loaded["p99_ms"]))
                print(f"splitter, {model}, round {n}, {name}: {seen[name][-1]}", flush=True)
    finally:
        for server in (stable, plain, canary):
            server.stop()
    # In pairs of one round, so that what else the machine does hits both alike.
    def ratio(name, i):
        return statistics.median(a[i] / b[i] for a, b in zip(seen[name], seen["no splitter"], strict=True))

    rows = []
    for name in SPLITS:
        if name == "no splitter":
            continue
        (cpu, p50, p99), (bare_cpu, bare_p50, bare_p99) = (tuple(statistics.median(s[i] for s in seen[n]) for i in range(3)) for n in (name, "no splitter"))
        said = "MobileNetV2 int8" if model == "mobilenet" else "a model that does next to nothing"
        for what, ours, reference, i in (("CPU of a request, both pods", cpu, bare_cpu, 0), ("p50", p50, bare_p50, 1), ("p99", p99, bare_p99, 2)):
            goal = model == "mobilenet" and i < 2 and name != "50 %"
            rows.append({
                "what": f"splitter, {name} to the canary, {said}: {what}; reference: no splitter", "ours": f"{ours:.3f} ms", "reference": f"{reference:.3f} ms",
                "ratio": f"{ratio(name, i):.3f}", "goal": "≤ 1.03" if goal else "", "holds": ratio(name, i) <= 1.03 if goal else None,
            })
    return rows


out = pathlib.Path(sys.argv[2])
rows = [row for model, requests in MODELS_AND_REQUESTS.items() for row in measure(model, requests)]
bench_file = json.loads(out.read_text())
bench_file["rows"] = [row for row in bench_file["rows"] if not row["what"].startswith("splitter,")] + rows
out.write_text(json.dumps(bench_file, indent=1, ensure_ascii=False) + "\n")
