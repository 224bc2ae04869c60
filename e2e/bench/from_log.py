#!/usr/bin/env python3
"""Turns what the end-to-end tests print into rows of docs/benchmarks/NAME.json: from_log.py NAME LOG OUT"""
import datetime
import json
import os
import pathlib
import re
import sys

name, log, out = sys.argv[1:4]
text = open(log, encoding="utf-8", errors="replace").read()
rows, note = [], ""
LOAD = re.compile(r"(?:\.\.\. )?([\w ,%\-]+): (\d+) requests at (\d+)/s, (\d+) failed, p50 ([\d.]+) ms, p99 ([\d.]+) ms")


def row(what, ours, goal="", holds=None, reference=""):
    rows.append({"what": what, "ours": ours, "reference": reference, "ratio": "", "goal": goal, "holds": holds})


def scale_rows(lines):
    """Of e2e/kwok/run.sh scale: Drydock, and beside it Argo Rollouts where that ran too."""
    by = {(line["contender"], line["phase"]): line["is"] for line in lines}
    count = lines[0]["count"]
    found = []

    def add(phase, what, value, unit, digits=1, goal="", holds=None):
        numbers = [value(by[who, phase]) if (who, phase) in by else None for who in ("drydock", "argo-rollouts")]
        text = [f"{n:,.{digits}f}{unit}" if n is not None else "" for n in numbers]
        ratio = f"{numbers[0] / numbers[1]:.2f}" if numbers[0] is not None and numbers[1] else ""
        if numbers[0] is not None:
            found.append({"what": f"kwok, {count:,} {phase}: {what}", "ours": text[0], "reference": text[1] and f"Argo Rollouts: {text[1]}",
                          "ratio": ratio, "goal": goal, "holds": None if holds is None else holds(numbers[0])})

    for phase in ("created", "changed", "deleted"):
        add(phase, "CPU time of the controller", lambda i: i["cpuSeconds"], " s")
        add(phase, "RSS at the end", lambda i: i["rssKib"] / 1024, " MiB")
        add(phase, "writes to the API server", lambda i: i["writes"], "", 0)
        add(phase, "reads (get, list)", lambda i: i["reads"], "", 0)
        add(phase, "refused by the API server (429)", lambda i: i["refused"], "", 0, "0", lambda n: n == 0)
        add(phase, "wall time", lambda i: i["seconds"], " s", 0)
        for key, what in (("toFirstChild", "asked to first child"), ("fromPodReadyToSettled", "pod ready to settled status")):
            if phase == "created" and key in by.get(("drydock", phase), {}):
                for q in ("p50", "p99"):
                    add(phase, f"{what}, {q}", lambda i: i.get(key, {}).get(q) or 0.0, " s", 2)
    add("at rest", "writes to the API server", lambda i: i["writes"], "", 0, "0", lambda n: n == 0)
    add("at rest", "CPU time of the controller", lambda i: i["cpuSeconds"], " s", 2)
    add("at rest", "RSS", lambda i: i["rssKib"] / 1024, " MiB", 1, "< 64 MiB", lambda n: n < 64)
    return found


if name == "rollouts":
    note = (
        "Open-loop load on the Service during all of it, half of it REST and half gRPC, every other request of each on a connection of its own; "
        "two nodes, the load's pod on the same two cores. No peer runs beside it yet: Argo Rollouts and Flagger need a mesh or a gateway for an exact split."
    )
    back = dict(re.findall(r"(?:\.\.\. )?([\w\-]+): rolled back ([\d.]+) s after it was applied", text))
    for what, sent, rate, failed, p50, p99 in LOAD.findall(text):
        if what.startswith("scaling"):
            continue
        label = f"bad canary: {what}" if what in back else what
        row(f"{label}: failed requests of {sent} at {rate}/s", failed, "0", failed == "0")
        row(f"{label}: p50, p99", f"{p50} ms, {p99} ms")
        if what in back:
            row(f"{label}: applied to rolled back", f"{back[what]} s")
    for rollbacks, median, p99, most in re.findall(r"verdict to the canary's last request, (\d+) rollbacks: median (-?[\d.]+) s, p99 (-?[\d.]+) s, most (-?[\d.]+) s", text):
        row(f"verdict to the canary's last request, p99 of {rollbacks} rollbacks", f"{p99} s", "< 1 s", float(p99) < 1)
        row(f"verdict to the canary's last request, the most of {rollbacks} rollbacks", f"{most} s")
        row(f"verdict to the canary's last request, median of {rollbacks} rollbacks", f"{median} s")
    for canarys, sent, off, deviation in re.findall(r"split: (\d+) of (\d+) requests at 1 %: ([+-][\d.]+) points, binomial error ([\d.]+)", text):
        row(f"share of a 1 % canary, one pod and one pod: {canarys} of {sent} requests", f"{off} points", f"± {deviation}", abs(float(off)) <= float(deviation), "a Service: 50 %")
    for said in re.findall(r"A/B test: (.*)", text):
        row("A/B test, an effect of 0.20 planted in simulated users", said)
    for canarys, sent, error in re.findall(r"20 %: (\d+) of (\d+) answers are the canary's; binomial error at 4.5 deviations: (\d+)", text):
        row(f"router Gateway, a real one: answers of a 20 % canary, of {sent}", canarys, f"{int(sent) // 5} ± {error}", abs(int(canarys) - int(sent) / 5) <= int(error))
    # Those until the verdict, and those until the gateway had accepted it.
    for sent, judged, accepted, settled, later in re.findall(r"errors behind a gateway: (\d+) requests, (\d+) failed until the verdict, (\d+) more .*?, (\d+) more in the .*?, (\d+) later", text):
        row(f"bad canary behind a gateway: errors: failed requests of {sent} until the gateway had accepted the verdict; it hands them on", str(int(judged) + int(accepted)))
        row("the same, after that", str(int(settled) + int(later)), "0", int(settled) + int(later) == 0)
elif name == "analysis":
    note = (
        "Simulated: 2000 canaries of each error rate at 20 requests a second, two steps of a minute; 1000 A/B tests, looked at after every 50 users "
        "of each arm. Every judge sees the same traces.\n\n![Canaries rolled back against requests](benchmarks/power.svg)"
    )
    rows = json.loads(text)
elif name == "scaling":
    note = "HPA on CPU, with the short periods of the local cluster (sync 5 s, stabilization 30 s)."
    for what, value in re.findall(r"(?:\.\.\. )?(1 -> 3 ready|3 -> 1): ([\d.]+ s)", text):
        row(f"replicas {what}", value)
    for what, sent, rate, failed, p50, p99 in LOAD.findall(text):
        if what.startswith("scaling"):
            row(f"{what}: failed requests of {sent} at {rate}/s", failed, "0", failed == "0")
elif name == "operator":
    scale = [json.loads(line.split("scale: ", 1)[1]) for line in text.splitlines() if "scale: {" in line]
    # The two halves are measured apart: what the other one wrote stays.
    old = json.loads(pathlib.Path(out).read_text()) if pathlib.Path(out).exists() else {"rows": [], "note": ""}
    kept, note = [r for r in old["rows"] if r["what"].startswith("kwok") != bool(scale)], old["note"]
    if scale:
        rows += kept + scale_rows(scale)
    for writes, seconds, count, before in re.findall(r"at rest: (\d+) writes in (\d+) s with (\d+) ModelDeployments \((\d+) to get there\)", text):
        row(f"writes at rest in {seconds} s, {count} ModelDeployments (API server's audit log, leases apart)", writes, "0", writes == "0")
        row(f"writes to create, optimize and serve {count} ModelDeployments", before)
    if not scale:
        rows += kept
if not rows:
    sys.exit(f"{log} has no line for {name}")
cpu = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
bench = {"machine": f"{cpu}, {os.cpu_count()} cores", "date": str(datetime.date.today()), "note": note, "rows": rows}
pathlib.Path(out).write_text(json.dumps(bench, indent=1, ensure_ascii=False) + "\n")
