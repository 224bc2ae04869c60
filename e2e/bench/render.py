#!/usr/bin/env python3
"""Writes docs/benchmarks.md from docs/benchmarks/*.json: one table for each file, with the machine and the command, and a plot where the
file has one."""
import html
import json
import pathlib
import sys


def bars(plot):
    """Bars side by side, on a white ground, so that they can be read on any page."""
    most, left, row = max(plot["bars"].values()), 250, 22
    height = 40 + row * len(plot["bars"])
    scale = lambda value: 480 * value / most
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="800" height="{height}" font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="10" y="20" font-weight="bold">{html.escape(plot["title"])}, {html.escape(plot["unit"])}</text>',
    ]
    for i, (name, value) in enumerate(plot["bars"].items()):
        y = 32 + row * i
        colour = "#2b6cb0" if "inference-sidecar" in name else "#a0aec0"
        out.append(f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{html.escape(name)}</text>')
        out.append(f'<rect x="{left}" y="{y + 2}" width="{scale(value):.1f}" height="{row - 6}" fill="{colour}"/>')
        out.append(f'<text x="{left + scale(value) + 6:.1f}" y="{y + 14}">{value}</text>')
    x = left + scale(plot["line"])
    out.append(f'<line x1="{x:.1f}" y1="30" x2="{x:.1f}" y2="{height - 8}" stroke="black" stroke-dasharray="3 3"/>')
    return "\n".join([*out, "</svg>"]) + "\n"


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
    if bench.get("plot"):
        path.with_suffix(".svg").write_text(bars(bench["plot"]))
        out += [f"![{bench['plot']['title']}](benchmarks/{path.stem}.svg)", ""]
    out += ["| what | ours | reference | ratio | goal | holds |", "|---|---|---|---|---|---|"]
    for row in bench["rows"]:
        cells = [str(row.get(k, "") if row.get(k) is not None else "") for k in ("what", "ours", "reference", "ratio", "goal")]
        holds = {True: "yes", False: "**no**", None: ""}[row.get("holds")]
        out.append("| " + " | ".join([*cells, holds]) + " |")
(docs / "benchmarks.md").write_text("\n".join(out) + "\n")
