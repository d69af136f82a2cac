#!/usr/bin/env python3
"""Measures event ports against raw epoll and prints a table. See README.md here.

    run.py            every row, or those that BENCH_ROWS names (shell patterns, separated by blanks)
    run.py -l         the rows, with what either side does

Copyright the evshim authors; MIT or Apache-2.0, at your choice.
"""

import fnmatch
import os
import shlex
import subprocess
import sys

sys.dont_write_bytecode = True  # no __pycache__ in the source tree
import results  # noqa: E402

HERE = results.ROOT / "bench"
SOURCES = ["main.c", "util.c", "io.c", "user.c", "life.c", "threads.c"]
FLAGS = ["-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-pthread", f"-I{results.ROOT}/include/evshim/ports"]


def compile_all():
    link = [f"-L{results.LIBDIR}", f"-Wl,-rpath,{results.LIBDIR}", "-levshim"]
    programs = {
        "bench": [*SOURCES, *link, "-ldl"],
        "worker-ports": ["-DWITH_PORTS", "worker.c", *link],
        "worker-plain": ["worker.c"],
    }
    results.OUT.mkdir(parents=True, exist_ok=True)
    compiler = shlex.split(os.environ.get("CC") or "cc") + FLAGS + shlex.split(os.environ.get("CFLAGS") or "")
    for name, words in programs.items():
        if subprocess.run([*compiler, *words, "-o", results.OUT / name], cwd=HERE, check=False).returncode:
            sys.exit(f"bench: {name} does not compile")


def catalog():
    listed = subprocess.run([results.OUT / "bench", "-l"], capture_output=True, text=True, check=True).stdout
    rows = []
    for line in listed.splitlines():
        name, unit, must, aim, what, base = line.split("\t")
        rows.append({"name": name, "unit": unit, "must": float(must), "aim": float(aim), "what": what, "base": base})
    return rows


def chosen(rows):
    patterns = (os.environ.get("BENCH_ROWS") or "*").split()
    unused = [p for p in patterns if not fnmatch.filter([row["name"] for row in rows], p)]
    if unused:
        sys.exit(f"bench: no such row: {' '.join(unused)} (bench/run.py -l lists them)")
    return [row for row in rows if any(fnmatch.fnmatch(row["name"], p) for p in patterns)]


def start(row, env):
    """One process start: (ours, base, value), or the reason why there is none."""
    try:
        done = subprocess.run(
            [results.OUT / "bench", row["name"]], capture_output=True, text=True, env=env, timeout=120, check=False
        )
    except subprocess.TimeoutExpired:
        return "it did not end"
    if done.returncode < 0:
        return "it did not end in time" if done.returncode == -14 else f"ended by signal {-done.returncode}"
    if done.returncode or not done.stdout:
        return done.stderr.strip() or f"exit status {done.returncode}"
    kind, _, *fields = done.stdout.strip().split("\t")
    return fields[0] if kind == "skip" else tuple(map(float, fields[:3]))


def measure(rows, starts):
    """All rows once, then all of them again: what disturbs the machine for a while does not fall on one row."""
    env = dict(os.environ)
    if results.QUICK:
        env.setdefault("BENCH_TURNS", "15")
    samples = {row["name"]: [] for row in rows}
    reasons = {}
    for turn in range(starts):
        for row in rows:
            name = row["name"]
            if name in reasons:
                continue
            if sys.stderr.isatty():
                print(f"\r\033[K{turn + 1}/{starts} {name}", end="", file=sys.stderr, flush=True)
            got = start(row, env)
            if isinstance(got, str):
                reasons[name] = got
            else:
                samples[name].append(got)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    # A row that failed in any start has no result: the starts that went well are not all of the truth.
    return [
        {**row, "reason": reasons[row["name"]]}
        if row["name"] in reasons
        else results.combine(row, samples[row["name"]])
        for row in rows
    ]


def main():
    results.library()
    where = results.environment()
    compile_all()
    rows = catalog()
    if sys.argv[1:] == ["-l"]:
        for row in rows:
            print(f"{row['name']:22} {row['what']}; against {row['base']}")
        return 0
    starts = results.number("BENCH_STARTS", 2 if results.QUICK else 5)
    measured = measure(chosen(rows), max(starts, 1))
    results.save(rows, measured, starts, where)
    return results.finish(measured, where)


if __name__ == "__main__":
    sys.exit(main())
