#!/usr/bin/env python3
"""Measures redis on event ports against the same redis on epoll, in turns. See README.md here.

The two servers come from scripts/clients.sh, which builds them from Debian's sources; nothing is built here.

Copyright the evshim authors; MIT or Apache-2.0, at your choice.
"""

import csv
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True  # no __pycache__ in the source tree
import results  # noqa: E402

CACHE = Path(os.environ.get("EVSHIM_CACHE") or Path.home() / ".cache/evshim") / "clients/build"
COMMANDS = ("get", "set")
WHAT = (*COMMANDS, "cpu")


def tree(backend):
    """The newest complete build."""
    built = sorted(CACHE.glob(f"redis-{backend}-*/.built"), key=lambda path: path.parent.stat().st_mtime)
    if not built:
        sys.exit(f"bench-redis: no redis with {backend} in {CACHE}: scripts/clients.sh build redis makes both")
    return built[-1].parent


def cores():
    """(server's, client's): one core for each, where there are two."""
    cpus = sorted(os.sched_getaffinity(0))
    return cpus[-1], cpus[-2] if len(cpus) > 1 else cpus[-1]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, backend, directory):
        self.tree = tree(backend)
        self.port = free_port()
        self.log = tempfile.TemporaryFile("w+")
        env = dict(os.environ)
        env.pop("LD_PRELOAD", None)
        if backend == "evport":
            env["LD_LIBRARY_PATH"] = str(results.LIBDIR)
        words = ["--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--dir", directory]
        self.process = subprocess.Popen(
            ["taskset", "-c", str(cores()[0]), self.tree / "src/redis-server", *words],
            env=env, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL,
        )
        try:
            self.wait_until_ready(backend)
        except BaseException:
            self.stop()
            raise

    def wait_until_ready(self, backend):
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.1)
        info = self.run("epoll", "redis-cli", ["info", "server"], pinned=False)
        if f"multiplexing_api:{backend}" not in info.replace("\r", "").split("\n"):
            self.log.seek(0)
            sys.exit(f"bench-redis: the server does not run on {backend}: {self.log.read()[-400:]}")

    def run(self, client_backend, program, words, pinned=True):
        """The client is always the epoll build: only the server differs."""
        command = [tree(client_backend) / "src" / program, "-h", "127.0.0.1", "-p", str(self.port), *words]
        if pinned:
            command = ["taskset", "-c", str(cores()[1]), *command]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False).stdout

    def cpu_time(self):
        """Nanoseconds that the server's main thread has run."""
        return int(Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[0])

    def benchmark(self, requests):
        """Requests per second by command, and the server's nanoseconds per request."""
        before = self.cpu_time()
        words = ["-t", ",".join(COMMANDS), "-c", "50", "-n", str(requests), "--csv"]
        text = self.run("epoll", "redis-benchmark", words)
        rates = {line[0].lower(): line[1] for line in csv.reader(text.splitlines()) if len(line) > 1}
        try:
            found = {command: float(rates[command]) for command in COMMANDS}
        except (KeyError, ValueError):
            sys.exit(f"bench-redis: redis-benchmark did not name its rates:\n{text}")
        return {**found, "cpu": (self.cpu_time() - before) / (requests * len(COMMANDS))}

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def one_start(turns, requests):
    """Both servers side by side; the idle one waits. {what: (ours, base, ratio)}"""
    rates = {what: [] for what in WHAT}
    with tempfile.TemporaryDirectory() as directory:
        servers = []
        try:
            for backend in ("epoll" if results.NULL else "evport", "epoll"):
                servers.append(Server(backend, directory))
            for turn in range(-1, turns):
                order = (0, 1) if turn % 2 else (1, 0)
                here = [None, None]
                for side in order:
                    here[side] = servers[side].benchmark(requests)
                if turn >= 0:
                    for what in WHAT:
                        rates[what].append((here[0][what], here[1][what], here[0][what] / here[1][what]))
        finally:
            for server in servers:
                server.stop()
    return {what: tuple(map(statistics.median, zip(*rates[what]))) for what in WHAT}


def main():
    results.library()
    where = results.environment()
    starts = results.number("BENCH_STARTS", 1 if results.QUICK else 5)
    # Short turns, many of them: two programs on two cores are at the mercy of whatever else runs.
    turns, requests = (9, 15000) if results.QUICK else (25, 15000)
    samples = [one_start(turns, requests) for _ in range(max(starts, 1))]
    measured = [
        results.combine(row, [sample[what] for sample in samples]) for row, what in zip(results.REDIS, WHAT)
    ]
    results.save(results.REDIS, measured, starts, where)
    return results.finish(measured, where)


if __name__ == "__main__":
    sys.exit(main())
