"""results.py: what the scripts here share: where things are, the stored results, the table on the terminal.

Copyright the evshim authors; MIT or Apache-2.0, at your choice.
"""

import hashlib
import json
import os
import platform
import re
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIBDIR = Path(os.environ.get("EVSHIM_LIBDIR") or ROOT / "build/lib").resolve()
OUT = ROOT / "build/bench"
STORE = OUT / "results.json"


def flag(name):
    return os.environ.get(name, "0") not in ("", "0")


QUICK = flag("BENCH_QUICK")
NULL = flag("BENCH_NULL")

NO_LIBKQUEUE = "libkqueue is not installed"
COUNTED = "bytes", "count"  # units that are no time

REDIS = [
    {
        "name": f"redis_{command}",
        "unit": "throughput",
        "must": 0.95,
        "aim": 1.00,
        "what": f"redis-benchmark -t {command} -c 50, redis on event ports",
        "base": "redis on its epoll back end",
    }
    for command in ("get", "set")
] + [
    {
        "name": "redis_cpu",
        "unit": "ratio",
        "must": 0,
        "aim": 0,
        "what": "the server's processor time per request of the two",
        "base": "redis on its epoll back end",
    }
]


def number(name, otherwise):
    """A whole number from the environment."""
    return int(os.environ.get(name) or otherwise)


def library():
    """The shared library that is measured; ends the program if there is none."""
    path = LIBDIR / "libevshim.so.0"
    if not path.exists():
        sys.exit(f"bench: {path} is missing: run make build first")
    return path


def cpu_model():
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    found = re.search(r"^model name\s*:\s*(.*)", text, re.M)
    return found.group(1) if found else platform.machine()


def environment():
    """What the figures hold for. To be asked before measuring, which is load, too."""
    return {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": re.match(r"[\d.]*\d", platform.release()).group(0),
        "libc": " ".join(platform.libc_ver()),
        "load": round(os.getloadavg()[0], 2),
    }


def load():
    try:
        return json.loads(STORE.read_text())
    except (OSError, ValueError):
        return {}


def save(catalog, rows, starts, where):
    """Adds `rows` to the stored ones. Results of another library, or measured with less care, are not kept beside
    them: a table must not mix two states."""
    state = {"library": hashlib.sha256(library().read_bytes()).hexdigest(), "quick": QUICK}
    stored = load()
    if any(stored.get(key) != value for key, value in state.items()):
        stored = {"rows": {}}
    names = {row["name"] for row in catalog}
    kept = [row for row in stored.get("catalog", []) if row["name"] not in names]
    for row in rows:
        stored["rows"][row["name"]] = {**row, "starts": starts}
    stored.update(state, catalog=catalog + kept, environment=where)
    OUT.mkdir(parents=True, exist_ok=True)
    STORE.write_text(json.dumps(stored, indent=1) + "\n")
    lines = ["row\tours\tbase\tvalue\tlow\thigh\tmust\taim\tverdict\n"]
    lines += ["\t".join(cells(row, plain=True)) + "\n" for row in stored["rows"].values()]
    (OUT / "results.tsv").write_text("".join(lines))


def combine(row, samples):
    """One result from the (ours, base, value[, libkqueue, ours / libkqueue]) of several process starts."""
    ours, base, value = (statistics.median(sample[i] for sample in samples) for i in range(3))
    values = [sample[2] for sample in samples]
    result = {**row, "ours": ours, "base_cost": base, "value": value, "low": min(values), "high": max(values)}
    if all(len(sample) > 3 for sample in samples):  # in every start: libkqueue's cost, and ours relative to it
        result["other_cost"], result["other"] = (statistics.median(s[i] for s in samples) for i in (3, 4))
    return result


def verdict(row):
    if "value" not in row:
        return "not measured"
    if not row["must"] or NULL:
        return "-"
    sign = -1 if row["unit"] == "throughput" else 1
    if sign * row["value"] > sign * row["must"]:
        return "MISSED"
    return "met, aim too" if sign * row["value"] <= sign * row["aim"] else "met"


def is_kqueue(row):
    return row["name"].startswith("kq_")


def value_text(row, value):
    if not value and row["unit"] != "bytes":
        return "-"
    return f"{value:.0f} B" if row["unit"] == "bytes" else f"{value:.3f}"


def cost_text(row, cost):
    if row["unit"] in COUNTED:
        return f"{cost:.0f} B" if row["unit"] == "bytes" else f"{cost:.2f}"
    return f"{cost:.0f}/s" if row["unit"] == "throughput" else f"{cost:.0f}"


def limit_text(row, name):
    if not row["must"]:
        return "-"
    return f"{row[name]:.0f} B" if row["unit"] == "bytes" else f"{row[name]:.2f}"


def cells(row, plain=False):
    """The columns of one row; `plain` for the tab-separated file."""
    if "value" not in row:
        measured = ["-"] * 5
    elif plain:
        measured = [f"{row[key]:.4f}" for key in ("ours", "base_cost", "value", "low", "high")]
    else:
        measured = [cost_text(row, row["ours"]), cost_text(row, row["base_cost"])]
        measured += [value_text(row, row[key]) for key in ("value", "low", "high")]
    return [row["name"], *measured, limit_text(row, "must"), limit_text(row, "aim"), verdict(row)]


def other_text(row):
    """Our cost relative to libkqueue's."""
    return f"{row['other']:.3f}" if "other" in row else "-"


def other_notes(rows):
    """Why rows were not compared with libkqueue: each reason once, with its rows unless it is that of all."""
    able = [row for row in rows if row.get("libkqueue") and not NULL]
    reasons = {}
    for row in able:
        if "other_reason" in row:
            reasons.setdefault(row["other_reason"], []).append(row["name"])
    for reason, names in reasons.items():
        which = "" if len(names) == len(able) else f" in {', '.join(names)}"
        yield f"against libkqueue{which}: not measured: {reason}"


HEAD = ["row", "ours ns", "base ns", "ratio", "lowest", "highest", "must", "aim", "verdict", "baseline"]


LEFT = {"row", "verdict", "baseline"}


def print_table(rows):
    head, lines = HEAD, [cells(row) + [row["base"]] for row in rows]
    if any("other" in row for row in rows):
        head = [*HEAD[:-1], "of libkqueue's", HEAD[-1]]
        lines = [[*line[:-1], other_text(row), line[-1]] for line, row in zip(lines, rows)]
    widths = [max(map(len, column)) for column in zip(head, *lines)]
    for line in [head, *lines]:
        padded = (c.ljust(w) if name in LEFT else c.rjust(w) for c, w, name in zip(line, widths, head))
        print("  ".join(padded).rstrip())
    for row in rows:
        if "reason" in row:
            print(f"{row['name']} was not measured: {row['reason']}")
    for note in other_notes(rows):
        print(note)
    missed = [row["name"] for row in rows if verdict(row) == "MISSED"]
    absent = [row["name"] for row in rows if "value" not in row]
    met = sum(verdict(row).startswith("met") for row in rows)
    print(f"bench: {met} met, {len(missed)} missed, {len(absent)} not measured")
    return bool(missed or absent)


def finish(rows, where):
    """Prints the table; BENCH_STRICT=1 makes a missed or missing row a failure."""
    bad = print_table(rows)
    if where["load"] > 0.5:
        print(f"note: the load average was {where['load']} at the start: was the machine quiet?")
    return int(bad and flag("BENCH_STRICT"))
