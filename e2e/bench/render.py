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


def scatter(plot):
    """Points with names, each (x, y); the reference's in grey."""
    left, top, width, height = 60, 58, 560, 400
    xs, ys = ([point[axis] for point in plot["points"].values()] for axis in (0, 1))
    x_most, y_least, y_most = max(xs) * 1.05, min(*ys, 0), max(*ys, 0)
    margin = (y_most - y_least) * 0.08
    y_least, y_most = y_least - margin, y_most + margin
    at_x = lambda x: left + width * x / x_most
    at_y = lambda y: top + height * (y_most - y) / (y_most - y_least)
    out = [
        '<svg xmlns="http://www.w3.org/2000/svg" width="800" height="508" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="10" y="20" font-weight="bold" font-size="13">{html.escape(plot["title"])}</text>',
        f'<text x="{left}" y="{top + height + 36}">{html.escape(plot["x"])}</text>',
        f'<text x="10" y="{top - 14}">{html.escape(plot["y"])}</text>',
        f'<line x1="{left}" y1="{at_y(0):.1f}" x2="{left + width}" y2="{at_y(0):.1f}" stroke="black" stroke-dasharray="3 3"/>',
    ]
    for x in range(1, int(x_most) + 1):
        out.append(f'<text x="{at_x(x):.1f}" y="{top + height + 18}" text-anchor="middle">{x}</text>')
    for i in range(5):
        y = y_least + (y_most - y_least) * i / 4
        out.append(f'<text x="{left - 6}" y="{at_y(y) + 4:.1f}" text-anchor="end">{y:+.2f}</text>')
    taken = []
    for name, (x, y) in sorted(plot["points"].items(), key=lambda p: -p[1][1]):
        colour = "#718096" if name in plot["reference"] else "#2b6cb0"
        # Names of points that lie close go below one another.
        name_x, name_y = at_x(x) + 8, at_y(y) + 4
        while any(abs(name_y - other_y) < 13 and abs(name_x - other_x) < 7 * len(name) for other_x, other_y in taken):
            name_y += 1
        taken.append((name_x, name_y))
        out.append(f'<circle cx="{at_x(x):.1f}" cy="{at_y(y):.1f}" r="4" fill="{colour}"/>')
        out.append(f'<text x="{name_x:.1f}" y="{name_y:.1f}" fill="{colour}">{html.escape(name)}</text>')
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
        path.with_suffix(".svg").write_text((scatter if "points" in bench["plot"] else bars)(bench["plot"]))
        out += [f"![{bench['plot']['title']}](benchmarks/{path.stem}.svg)", ""]
    out += ["| what | ours | reference | ratio | goal | holds |", "|---|---|---|---|---|---|"]
    for row in bench["rows"]:
        cells = [str(row.get(k, "") if row.get(k) is not None else "") for k in ("what", "ours", "reference", "ratio", "goal")]
        holds = {True: "yes", False: "**no**", None: ""}[row.get("holds")]
        out.append("| " + " | ".join([*cells, holds]) + " |")
(docs / "benchmarks.md").write_text("\n".join(out) + "\n")
