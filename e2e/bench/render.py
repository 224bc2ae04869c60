#!/usr/bin/env python3
"""Writes docs/benchmarks.md from docs/benchmarks/*.json: one table for each file, with the machine and the command."""
import json
import pathlib
import sys

docs = pathlib.Path(sys.argv[1])
out = [
    "# Benchmarks",
    "",
    "Generated from `docs/benchmarks/NAME.json`, which `make bench-NAME` writes; do not edit. Each figure stands beside its reference from the",
    "same run. A goal that is missed stays in the table.",
]
for path in sorted((docs / "benchmarks").glob("*.json")):
    bench = json.loads(path.read_text())
    out += ["", f"## {path.stem}", "", f"`{bench.get('command', 'make bench-' + path.stem)}`, {bench['date']}, on {bench['machine']}.", ""]
    if bench.get("note"):
        out += [bench["note"], ""]
    out += ["| what | ours | reference | ratio | goal | holds |", "|---|---|---|---|---|---|"]
    for row in bench["rows"]:
        cells = [str(row.get(k, "") if row.get(k) is not None else "") for k in ("what", "ours", "reference", "ratio", "goal")]
        holds = {True: "yes", False: "**no**", None: ""}[row.get("holds")]
        out.append("| " + " | ".join([*cells, holds]) + " |")
(docs / "benchmarks.md").write_text("\n".join(out) + "\n")
