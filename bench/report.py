#!/usr/bin/env python3
"""Draws docs/performance.svg and writes the table of docs/performance.md from the results in build/bench.

    report.py [-f] [DIRECTORY]     DIRECTORY instead of docs; -f: also from incomplete or quick results

In performance.md only what stands between the two markers is replaced.
Copyright the evshim authors; MIT or Apache-2.0, at your choice.
"""

import sys
from html import escape
from itertools import groupby
from pathlib import Path

sys.dont_write_bytecode = True  # no __pycache__ in the source tree
import results  # noqa: E402

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
SKELETON = f"# Performance\n\n![Event ports and kqueue against raw epoll](performance.svg)\n\n{BEGIN}\n{END}\n"

WIDTH, LABEL, BARS, TOP, LINE, HEADING, GUEST = 900, 400, 400, 62, 18, 26, 30
SCALE = 2.0  # the right end of the axis; longer bars are cut, and their number tells
# Classes with plain colours: not every program that draws SVG knows CSS variables.
STYLE = """
text { font: 12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328 }
.title { font-size: 15px; font-weight: 600 } .guest { font-size: 14px; font-weight: 600 }
.head { font-weight: 600 } .dim { fill: #59636e }
.ground { fill: #ffffff } .grid { stroke: #d1d9e0 } .one { stroke: #59636e; stroke-dasharray: 3 3 }
.good { fill: #2f6fb3 } .bad { fill: #c4570e } .must { stroke: #1f2328; stroke-width: 2 } .aim { fill: #1f2328 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .dim { fill: #9198a1 } .ground { fill: #0d1117 } .grid { stroke: #3d444d }
  .one { stroke: #9198a1 } .good { fill: #5aa2e8 } .bad { fill: #e8873a }
  .must { stroke: #f0f6fc } .aim { fill: #f0f6fc }
}
"""


def all_rows(stored):
    return [stored["rows"].get(row["name"], row) for row in stored["catalog"]]


def guests(rows):
    """(heading, rows) of the two interfaces, without an empty one."""
    parts = ("Event ports", False), ("kqueue", True)
    found = [(name, [row for row in rows if results.is_kqueue(row) == kqueue]) for name, kqueue in parts]
    return [(name, part) for name, part in found if part]


# ---- the picture -----------------------------------------------------------------------------------------------


def at(ratio):
    return LABEL + BARS * min(ratio, SCALE) / SCALE


def text(x, y, words, css="", anchor="start"):
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{css}" text-anchor="{anchor}">{escape(words)}</text>'


def bar(row, y):
    """A bar with its number; a line for the figure that it must reach, a triangle for the one aimed at."""
    middle = y + LINE / 2
    parts = [text(LABEL - 8, middle + 4, row["what"], anchor="end")]
    if "value" in row:
        css = "bad" if results.verdict(row) == "MISSED" else "good"
        end = at(row["value"])
        size = f'width="{end - LABEL:.1f}" height="{LINE - 8}"'
        parts.append(f'<rect class="{css}" x="{LABEL}" y="{y + 4}" {size} rx="2"/>')
        parts.append(text(LABEL + BARS + 52, middle + 4, f"{row['value']:.2f}", "head", "end"))
    else:
        parts.append(text(LABEL + 6, middle + 4, "not measured", "dim"))
    must, aim = at(row["must"]), at(row["aim"])
    parts.append(f'<path class="must" d="M{must:.1f} {y + 1}v{LINE - 2}"/>')
    parts.append(f'<path class="aim" d="M{aim - 4:.1f} {y}h8l-4 6z"/>')
    return parts


def legend(y):
    x = LABEL - 250
    return [
        f'<rect class="good" x="{x}" y="{y - 9}" width="22" height="10" rx="2"/>', text(x + 28, y, "must met"),
        f'<rect class="bad" x="{x + 100}" y="{y - 9}" width="22" height="10" rx="2"/>', text(x + 128, y, "missed"),
        f'<path class="must" d="M{x + 190} {y - 12}v16"/>', text(x + 198, y, "must"),
        f'<path class="aim" d="M{x + 246} {y - 10}h8l-4 6z"/>', text(x + 260, y, "aim"),
        f'<path class="one" d="M{x + 300} {y - 12}v16"/>', text(x + 308, y, "as fast as raw epoll; shorter is faster"),
    ]


def bars(rows, y):
    """The rows in groups of one baseline, and where they end."""
    parts = []
    for base, group in groupby(rows, key=lambda row: (row["base"], row["unit"])):
        against = base[0] + (" (throughput: longer is faster)" if base[1] == "throughput" else "")
        parts.append(text(LABEL, y + HEADING - 8, f"against {against}", "head"))
        y += HEADING
        for row in group:
            parts += bar(row, y)
            y += LINE
    return parts, y


def counted(row):
    """What is no ratio of times gets a line of text."""
    if row["unit"] == "bytes":
        limits = f"must {row['must']:.0f}, aim {row['aim']:.0f}"
        return f"{row['what']}: {row['value']:.0f} bytes more than an epoll set ({limits})"
    return f"{row['what']}: {row['ours']:.2f}; {row['base']}: {row['base_cost']:.2f}"


def picture(rows):
    """The rows that have limits and are ratios of times or throughput, by guest."""
    parts, y = [], TOP
    for name, part in guests([row for row in rows if row["must"] and row["unit"] not in results.COUNTED]):
        y += 0 if y == TOP else GUEST - HEADING
        parts.append(text(16, y + HEADING - 8, name, "guest"))
        more, y = bars(part, y)
        parts += more
    grid = []
    for i in range(9):
        ratio = SCALE * i / 8
        css = "one" if ratio == 1 else "grid"
        grid.append(f'<path class="{css}" d="M{at(ratio):.1f} {TOP}V{y + 4}"/>')
        if i % 2 == 0:
            grid.append(text(at(ratio), y + 20, f"{ratio:.1f}", "dim", "middle"))
    height = y + 34
    for row in rows:
        if row["unit"] in results.COUNTED and "value" in row:
            parts.append(text(16, height + 6, counted(row), "dim"))
            height += 18
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
    title = "Event ports and kqueue on Linux: cost relative to raw epoll"
    # The ground is drawn: the page round the picture may be light while the reader's system is dark, or the reverse.
    ground = '<rect class="ground" width="100%" height="100%" rx="8"/>'
    top = [f"<title>{title}</title>", f"<style>{STYLE}</style>", ground]
    return "\n".join([head, *top, *grid, text(16, 24, title, "title"), *legend(46), *parts, "</svg>"]) + "\n"


# ---- the table -------------------------------------------------------------------------------------------------


def described(stored):
    where = stored["environment"]
    starts = sorted({row["starts"] for row in stored["rows"].values()})
    counts = " or ".join(map(str, starts))
    return (
        f"Measured on {where['cpu']}, {where['cores']} cores, Linux {where['kernel']}, {where['libc']}; medians over "
        f"{counts} process starts{', a quick run' if stored['quick'] else ''}. Nanoseconds are per event or operation; "
        "where they are requests per second, more is better. In brackets: the lowest and the highest of the starts."
    )


def lines_of(rows):
    """A table of rows. A column more tells our cost relative to libkqueue's, where that was measured."""
    with_other = any("other" in row for row in rows)
    head = "| row | what | baseline | ours | base | ratio | must | aim | verdict |"
    rule = "|---|---|---|--:|--:|--:|--:|--:|---|"
    lines = [f"{head} of libkqueue's |", f"{rule}--:|"] if with_other else [head, rule]
    for row in rows:
        name, ours, base, value, low, high, must, aim, verdict = results.cells(row)
        if "value" in row and row["starts"] > 1:
            value += f" ({low} to {high})"
        verdict = f"**{verdict}**" if verdict == "MISSED" else verdict
        columns = [f"`{name}`", row["what"], row["base"], ours, base, value, must, aim, verdict]
        columns += [results.other_text(row)] if with_other else []
        lines.append("| " + " | ".join(columns) + " |")
    return "\n".join(lines)


def table(stored):
    parts = [described(stored)]
    for name, rows in guests(all_rows(stored)):
        parts += [f"### {name}", lines_of(rows)]
        for row in rows:
            if "value" not in row:
                parts.append(f"`{row['name']}` was not measured: {row.get('reason', 'no run so far')}.")
        parts += [f"{note[:1].upper()}{note[1:]}." for note in results.other_notes(rows)]
    return "\n\n".join(parts)


def main():
    words = [word for word in sys.argv[1:] if word != "-f"]
    stored = results.load()
    if not stored:
        sys.exit("report: no results yet: run make bench first")
    stored["catalog"] = [row for row in stored["catalog"] if not row["name"].startswith("redis_")] + results.REDIS
    absent = [row["name"] for row in all_rows(stored) if "value" not in row and "reason" not in row]
    if "-f" not in sys.argv and (absent or stored["quick"]):
        lack = "a quick run" if stored["quick"] else f"results without {' '.join(absent)}"
        sys.exit(f"report: not from {lack}; see -f")
    docs = Path(words[0]) if words else results.ROOT / "docs"
    page = docs / "performance.md"
    old = page.read_text() if page.exists() else SKELETON
    before, begin, rest = old.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"report: {page} lacks the markers {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n{table(stored)}\n{END}{after}")
    (docs / "performance.svg").write_text(picture(all_rows(stored)))
    print(f"wrote {page} and performance.svg")


if __name__ == "__main__":
    main()
