#!/usr/bin/env python3
"""Measures event ports and kqueue against raw epoll and prints a table. See README.md here.

    run.py            every row, or those that BENCH_ROWS names (shell patterns, separated by blanks)
    run.py -l         the rows, with what either side does

Copyright the evshim authors; MIT or Apache-2.0, at your choice.
"""

import fnmatch
import os
import shlex
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True  # no __pycache__ in the source tree
import results  # noqa: E402

HERE = results.ROOT / "bench"
SOURCES = ["main.c", "util.c", "io.c", "user.c", "life.c", "threads.c", "kq_io.c", "kq_life.c"]
INCLUDES = [f"-I{results.ROOT}/include/evshim/{guest}" for guest in ("ports", "kqueue")]
FLAGS = ["-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-pthread", *INCLUDES]


def compile_all():
    link = [f"-L{results.LIBDIR}", f"-Wl,-rpath,{results.LIBDIR}", "-levshim"]
    programs = {
        "bench": [*SOURCES, *link, "-ldl"],
        "worker-ports": ["-DWITH_PORTS", "worker.c", *link],
        "worker-kqueue": ["-DWITH_KQUEUE", "worker.c", *link],
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
        name, unit, must, aim, what, base, other = line.split("\t")
        row = {"name": name, "unit": unit, "must": float(must), "aim": float(aim), "what": what, "base": base}
        rows.append({**row, "libkqueue": other != "0"})
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
    # Not the number of turns.
    return fields[0] if kind == "skip" else tuple(map(float, fields[:3] + fields[4:]))


def libkqueue():
    """The path of the shared library, if pkg-config knows it."""
    asked = ["pkg-config", "--variable=libdir", "libkqueue"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    if done.returncode:
        return None
    return next((str(path) for path in sorted(Path(done.stdout.strip()).glob("libkqueue.so*"))), "libkqueue.so.0")


def start_both(row, env, lacks):
    """The same. If libkqueue cannot do the row, the row is measured without it, from now on."""
    name = row["name"]
    if "BENCH_LIBKQUEUE" not in env or name in lacks:
        return start(row, {key: value for key, value in env.items() if key != "BENCH_LIBKQUEUE"})
    got = start(row, env)
    if isinstance(got, str):
        lacks[name] = got
        return start_both(row, env, lacks)
    return got


def measure(rows, starts):
    """All rows once, then all of them again: what disturbs the machine for a while does not fall on one row."""
    env = dict(os.environ)
    if results.QUICK:
        env.setdefault("BENCH_TURNS", "15")
    found = env.get("BENCH_LIBKQUEUE") or libkqueue()
    if found:
        env["BENCH_LIBKQUEUE"] = found
    samples = {row["name"]: [] for row in rows}
    reasons, lacks = {}, {}
    otherwise = "more descriptors needed than allowed" if found else results.NO_LIBKQUEUE
    for turn in range(starts):
        for row in rows:
            name = row["name"]
            if name in reasons:
                continue
            if sys.stderr.isatty():
                print(f"\r\033[K{turn + 1}/{starts} {name}", end="", file=sys.stderr, flush=True)
            got = start_both(row, env, lacks)
            if isinstance(got, str):
                reasons[name] = got
            else:
                samples[name].append(got)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    # A row that failed in any start has no result: the starts that went well are not all of the truth.
    measured = []
    for row in rows:
        name = row["name"]
        result = {**row, "reason": reasons[name]} if name in reasons else results.combine(row, samples[name])
        if row["libkqueue"] and "other" not in result:
            result["other_reason"] = lacks.get(name, otherwise)
        measured.append(result)
    return measured


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
