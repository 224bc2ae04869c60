#!/usr/bin/env python3
"""Measures the inference-sidecar beside its peers: serving.py WORK OUT. What it needs is in the environment; serving.sh sets it.

All servers are up at once (an idle one costs next to nothing) and take turns: each round asks every one of them, so that what else the
machine does hits all alike. A figure is the median of its rounds.
"""
import datetime
import json
import os
import pathlib
import statistics
import sys

from servers import HEADERS, MODELS, SCALE, Server, bench, sidecar, work

out = pathlib.Path(sys.argv[2])
here = pathlib.Path(__file__).parent / "serving"
CACHE = pathlib.Path(os.environ["DRYDOCK_CACHE"]) / "bench"
ROUNDS = int(os.environ.get("SERVING_ROUNDS", "3"))
ONLY = os.environ.get("SERVING_PEERS", "fastapi kserve mlserver bentoml litserve").split()
VERSIONS = {"fastapi": "0.165.0", "kserve": "0.21.0", "mlserver": "1.7.1", "bentoml": "1.4.40", "litserve": "0.2.19"}
NAMES = {"fastapi": "FastAPI", "kserve": "KServe", "mlserver": "MLServer", "bentoml": "BentoML", "litserve": "LitServe"}
DEADLINE_MS = 1000


def peer(name):
    venv = CACHE / f"{name}-{VERSIONS[name]}"
    command = [venv / "bin/python", here / f"app_{name}.py"]
    if name == "bentoml":
        command = [venv / "bin/python", "-m", "bentoml", "serve", "app_bentoml:Mobilenet", "--working-dir", here, "--port", "{http}"]
    quiet = {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(work / "bentoml"), "LITSERVE_DISABLE_TELEMETRY": "1", "HOME": str(work)}
    return lambda: Server(name, command, PYTHONPATH=str(here), MODEL=str(MODELS / "mobilenet.onnx"), **quiet)


def answer(server, way):
    """The first output over REST, to be held against the bare engine's."""
    response = server.request("POST", server.path(way), (work / f"{way}.body").read_bytes(), HEADERS.get(way, {}))
    length = response.headers.get("inference-header-content-length")
    if length:
        import array

        return array.array("f", response.content[int(length) :]).tolist()
    found = json.loads(response.content)
    if response.status != 200:
        raise RuntimeError(f"{server.name}, {way}: {found}")
    return found["outputs"][0]["data"]


def image():
    """Of the model's size: broad colours and some noise, as a photograph has them."""
    import io

    import numpy as np
    from PIL import Image

    random = np.random.default_rng(3)
    broad = Image.fromarray(random.integers(0, 256, (14, 14, 3), np.uint8)).resize((224, 224), Image.BICUBIC)
    noisy = np.clip(np.asarray(broad, np.float32) + random.normal(0, 8, (224, 224, 3)), 0, 255).astype(np.uint8)
    data = io.BytesIO()
    Image.fromarray(noisy).save(data, "JPEG", quality=90)
    (work / "jpeg.body").write_bytes(data.getvalue())


WAYS = {"binary": "binary REST", "grpc": "raw gRPC", "json": "JSON", "jpeg": "JPEG"}
# name of the figure: server, way, requests of a round
FIGURES = {
    "binary": ("sidecar", "binary", 300), "grpc": ("sidecar", "grpc", 300), "json": ("sidecar", "json", 150), "jpeg": ("sidecar", "jpeg", 300),
    "null binary": ("null", "binary", 2000), "null grpc": ("null", "grpc", 2000), "null json": ("null", "json", 200),
    "fastapi binary": ("fastapi", "binary", 300), "fastapi json": ("fastapi", "json", 100), "fastapi jpeg": ("fastapi", "jpeg", 300),
    "kserve grpc": ("kserve", "grpc", 300), "kserve json": ("kserve", "json", 40), "kserve binary": ("kserve", "binary", 40),
    "mlserver grpc": ("mlserver", "grpc", 150), "mlserver json": ("mlserver", "json", 60),
    "bentoml json": ("bentoml", "json", 60), "litserve json": ("litserve", "json", 40),
}
image()

makers = {"sidecar": sidecar("sidecar", "mobilenet", 1), "both": sidecar("both", "mobilenet", 2), "null": sidecar("null", "null", 1)}
makers |= {name: peer(name) for name in ONLY}
servers, left_out, ready = {}, [], {}
seen = {name: [] for name in FIGURES}
engine, behind, parse, pairs, overloads, memory = [], [], [], [], [], {}


def start_all():
    for name, make in makers.items():
        try:
            # The first start of a peer compiles its Python, and reads it from the disk.
            for _ in range({"sidecar": 5}.get(name, 2 if name in ONLY else 1)):
                if name in servers:
                    servers.pop(name).stop()
                servers[name] = make()
                ready.setdefault(name, []).append(servers[name].ready)
        except RuntimeError as problem:
            if name not in ONLY:
                raise
            left_out.append(f"{NAMES[name]} {VERSIONS[name]} ({problem})")
    print({name: [round(s, 3) for s in times] for name, times in ready.items()}, flush=True)


def measure():
    expected = bench("engine", MODELS / "mobilenet.onnx", work / "input.f32", "--runs", 10)["output"]
    for name, (server, way, _) in FIGURES.items():
        if server in servers and server != "null" and way in ("binary", "json"):
            found = answer(servers[server], way)
            worst = max(abs(a - b) for a, b in zip(found, expected, strict=True))
            if worst > 1e-4 * max(map(abs, expected)):
                raise RuntimeError(f"{name} answers otherwise than the engine, by {worst}")
    for n in range(ROUNDS):
        parse.append(bench("parse", work / "json.body", "--runs", max(10, int(100 * SCALE))))
        for seen_of, how in ((engine, "engine"), (behind, "socket")):
            seen_of.append(bench(how, MODELS / "mobilenet.onnx", work / "input.f32", "--runs", max(20, int(300 * SCALE))))
        for name, (server, way, requests) in FIGURES.items():
            if server in servers:
                seen[name].append(servers[server].load(way, requests))
                print(f"round {n}: {name}: {seen[name][-1]}", flush=True)
        # One core and both, by turns, with enough in the queue of each.
        one, both = (servers[s].load("binary", 600, "--connections", 8) for s in ("sidecar", "both"))
        pairs.append((one, both))
    # Side by side, the sidecars share the pages of one library, which each would have to itself: alone, after some of everything.
    for name in ("both", "sidecar"):
        for server in ("sidecar", "both", "null"):
            if server in servers:
                servers.pop(server).stop()
        servers[name] = makers[name]()
        memory[name] = max(servers[name].load(way, 100)["pss_mb"] for way in ("binary", "grpc", "json", "jpeg"))
    for _ in range(ROUNDS):
        capacity = servers["sidecar"].load("binary", 400, "--connections", 8)
        rate = 2 * capacity["per_second"]
        # As many as make some seconds of it.
        # A client that goes after a second says so: the sidecar refuses those that it could not answer by then.
        told = ("--header", f"x-envoy-expected-rq-timeout-ms: {DEADLINE_MS}")
        overload = servers["sidecar"].load("binary", rate * 10, "--rate", rate, "--deadline-ms", DEADLINE_MS, *told)
        overloads.append((capacity, overload))
        print(f"overload: {capacity['per_second']:.0f}/s; {overload}", flush=True)


def median(name, key="cpu_ms"):
    return statistics.median(s[key] for s in seen[name])


rows = []


def row(what, ours, reference="", ratio="", goal="", holds=None):
    rows.append({"what": what, "ours": ours, "reference": reference, "ratio": ratio, "goal": goal, "holds": holds})


def table():
    ms, bare = "{:.2f} ms".format, statistics.median(e["cpu_ms"] for e in engine)
    for way, said, most in (("binary", "binary REST", 1.06), ("grpc", "raw gRPC", 1.10)):
        ratio = median(way) / bare
        row(f"{said} over the bare engine, CPU of a request", ms(median(way)), ms(bare), f"{ratio:.3f}", f"≤ {most:.2f}", ratio <= most)
    least = statistics.median(e["cpu_ms"] for e in behind)
    row("binary REST over the engine behind a bare socket: no protocol at all, and the same bytes through the kernel and the caches", ms(median("binary")), ms(least), f"{median('binary') / least:.3f}")
    for way, said, most in (("binary", "binary REST", 0.12), ("grpc", "raw gRPC", 0.25)):
        cost = median(f"null {way}")
        row(f"the server alone, {said}, a model that does next to nothing", f"{cost:.3f} ms", goal=f"≤ {most} ms", holds=cost <= most)
    row("JSON of 150,528 floats, CPU of a request", ms(median("json")), goal="≤ 7.5 ms", holds=median("json") <= 7.5)
    alone = statistics.median(p["cpu_ms"] for p in parse)
    row("JSON without the engine, a model that does next to nothing; reference: serde_json's parse alone (5.2 ms on the machine of the goals; here it reads float64 exactly, `float_roundtrip`, which takes longer)", ms(median("null json")), ms(alone), f"{median('null json') / alone:.2f}", "≤ 3.72 ms: 7.5 less the engine's 3.78", median("null json") <= 3.72)
    one, both = (statistics.median(p[i]["per_second"] for p in pairs) for i in (0, 1))
    speedup = statistics.median(b["per_second"] / a["per_second"] for a, b in pairs)
    row("requests/s, two sessions over one, 8 connections, the load on the same two cores", f"{both:.0f}/s", f"{one:.0f}/s", f"{speedup:.2f}", "≥ 1.8", speedup >= 1.8)
    # What the wall would show if the load had cores of its own.
    spent_one, spent_both = (statistics.median(p[i]["cpu_ms"] for p in pairs) for i in (0, 1))
    speedup = 2 * statistics.median(a["cpu_ms"] / b["cpu_ms"] for a, b in pairs)
    row("the same by CPU time: twice one session's of a request over two sessions'", ms(spent_both), ms(spent_one), f"{speedup:.2f}", "≥ 1.8", speedup >= 1.8)
    if "fastapi" in servers:
        ours, theirs = median("jpeg") - bare, median("fastapi jpeg") - bare
        row("JPEG 224x224, what it takes beside the engine; reference: Pillow and numpy in FastAPI", ms(ours), ms(theirs), f"{ours / theirs:.2f}", "≤ 0.5", ours <= theirs / 2)
    for name, way, least in (("fastapi", "binary", 1.25), ("fastapi", "json", 2.8), ("kserve", "grpc", 1.4), ("mlserver", "grpc", 2.8), ("mlserver", "json", None), ("bentoml", "json", None), ("litserve", "json", None), ("kserve", "json", None)):
        if name in servers:
            theirs = median(f"{name} {way}")
            ratio = theirs / median(way)
            row(f"{WAYS[way]}, {NAMES[name]}'s CPU of a request over ours", ms(median(way)), ms(theirs), f"{ratio:.2f}", f"≥ {least}" if least else "", ratio >= least if least else None)
    # Where the engine takes most of a request the ratios of the whole are near 1; this one is of what is not the engine.
    for name, way in (("fastapi", "binary"), ("fastapi", "json"), ("kserve", "grpc"), ("mlserver", "grpc")):
        if name in servers:
            ours, theirs = median(way) - bare, median(f"{name} {way}") - bare
            row(f"{WAYS[way]}, what {NAMES[name]} adds to the engine's CPU time, over what ours adds", ms(ours), ms(theirs), f"{theirs / ours:.2f}")
    for name, way in (("fastapi", "jpeg"), ("kserve", "binary")):
        if name in servers:
            said = "JPEG" if way == "jpeg" else "binary REST (one loop over the elements, which they could do without: no claim)"
            row(f"{said}, {NAMES[name]}'s CPU of a request", ms(median(way)), ms(median(f"{name} {way}")), f"{median(f'{name} {way}') / median(way):.2f}")
    ours = statistics.median(ready["sidecar"])
    theirs = ", ".join(f"{NAMES[n]} {min(ready[n]):.2f}" for n in ONLY if n in servers)
    row("start to ready, median of 5; theirs: the better of 2", f"{ours:.3f} s", theirs + " s", "", "≤ 0.08 s", ours <= 0.08)
    theirs = ", ".join(f"{NAMES[n]} {max(s['pss_mb'] for f, (x, *_) in FIGURES.items() if x == n for s in seen[f]):.0f}" for n in ONLY if n in servers)
    for name, said, most in (("sidecar", "one session", 50), ("both", "both cores", 65)):
        ours = memory[name]
        row(f"memory (PSS) after all ways, {said}", f"{ours:.0f} MB", theirs + " MB" if name == "sidecar" else "", "", f"≤ {most} MB", ours <= most)
    goodput = statistics.median(o["per_second"] / c["per_second"] for c, o in overloads)
    row("twice the capacity, open loop: answers in time over the capacity", f"{statistics.median(o['per_second'] for _, o in overloads):.0f}/s", f"{statistics.median(c['per_second'] for c, _ in overloads):.0f}/s", f"{goodput:.2f}", "≥ 0.95", goodput >= 0.95)
    p99 = statistics.median(o["p99_ms"] for _, o in overloads)
    shares = [f"{o['answered']}, {o['refused']}, {o['late']}, {o['failed']}" for _, o in overloads]
    row("twice the capacity: p99 of the answers, from the intended start", f"{p99:.0f} ms", goal=f"≤ {DEADLINE_MS} ms", holds=p99 <= DEADLINE_MS)
    row("twice the capacity: answered, refused, late, failed, of each round", "; ".join(shares))
    first, last = overloads[0][1]["pss_mb"], overloads[-1][1]["pss_mb"]
    row("twice the capacity: memory (PSS) after the last round over the first", f"{last:.0f} MB", f"{first:.0f} MB", f"{last / first:.2f}", "≤ 1.05", last <= 1.05 * first)
    for way in ("binary", "grpc", "json", "jpeg"):
        row(f"{way}, 4 connections, one session: requests/s, p50, p99 (wall time; the load is on the same cores)", f"{median(way, 'per_second'):.0f}/s, {median(way, 'p50_ms'):.1f} ms, {median(way, 'p99_ms'):.1f} ms")
    return bare


def bars(bare):
    groups = {"bare engine": bare}
    for way in WAYS:
        for name, (server, w, _) in FIGURES.items():
            if w == way and server in servers and server != "null":
                groups[f"{WAYS[way]}: {NAMES.get(server, 'inference-sidecar')}"] = round(median(name), 2)
    return {"title": "CPU time of a request", "unit": "ms", "line": round(bare, 2), "bars": groups}


try:
    start_all()
    measure()
finally:
    for server in servers.values():
        server.stop()
bare = table()
cpu = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
vnni = any(flag in open("/proc/cpuinfo").read() for flag in ("avx512_vnni", "avx_vnni", "asimddp"))
note = (
    f"MobileNetV2 int8 (QDQ, U8S8), random weights, 1x3x224x224, the same file and input for all; one engine thread each. CPU time, user and system, of the server's whole process tree; medians of {ROUNDS} interleaved rounds, 4 connections. "
    + ", ".join(f"{NAMES[n]} {VERSIONS[n]}" for n in ONLY if n in servers)
    + ", one worker each, ONNX Runtime 1.31.1. "
    + (f"Left out: {'; '.join(left_out)}. " if left_out else "")
    + f"{'This processor has int8 dot products.' if vnni else 'This processor has no int8 dot products: the engine takes longer than the 3.78 ms of the machine that the goals come from, and all ratios to a peer are nearer to 1.'} "
    + f"Load average at the end: {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores."
)
settings = "".join(f"{name}={os.environ[name]} " for name in ("SERVING_ROUNDS", "SERVING_SCALE", "SERVING_PEERS") if name in os.environ)
bench_file = {"command": f"{settings}make bench-serving", "machine": f"{cpu}, {os.cpu_count()} cores", "date": str(datetime.date.today()), "note": note, "rows": rows, "plot": bars(bare)}
out.write_text(json.dumps(bench_file, indent=1, ensure_ascii=False) + "\n")
