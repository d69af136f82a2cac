#!/usr/bin/env python3
"""Plays recorded sequences of kqueue operations through the library and compares (see scripts/check-oracle.sh).

    play.py ORACLE RUNNER GOLDEN [EXTRA]     golden traces; EXTRA: hand-written ones, which are only counted
    play.py --fuzz SEED ORACLE RUNNER        new sequences of this seed, with the answers of ORACLE/model.py

Every sequence runs in a process of its own with a time-out. Those of a-timer run side by side; one that differs is
played twice more alone. Exit status: 0 if the rules of check-oracle.sh hold.

Copyright the evshim authors; MIT or Apache-2.0, at your choice.
"""

import collections
import concurrent.futures
import fnmatch
import gzip
import os
import re
import runpy
import signal
import subprocess
import sys
import tempfile
import time

SLOW = max(1, int(os.environ.get("EVSHIM_TEST_SLOW") or 1))
TIMEOUT = float(os.environ.get("EVSHIM_ORACLE_TIMEOUT") or 10) * SLOW  # of a sequence
BUDGET = float(os.environ.get("EVSHIM_ORACLE_SECONDS") or 240) * SLOW  # of everything
JOBS = int(os.environ.get("EVSHIM_TEST_JOBS") or os.cpu_count() or 1)
FAMILIES = (os.environ.get("EVSHIM_ORACLE_FAMILIES") or "*").split()
# They need the loopback exchange to be complete when the next operation runs, which a busy machine does not promise.
OF_THE_NETWORK = ("a-tcp", "a-tcp-clear", "a-listen", "a-udp")
SIDE_BY_SIDE = 24  # sequences of a-timer at once: they sleep, and a crowd would make each other late
MOST_TIMEOUTS = 40  # after these a library that hangs has shown it
MOST_REPLAYS = 60
NAMED = 10  # differing sequences by name, of each family
LEAST_EXACT = 0.97


def family(name):
    return name.rsplit("-", 1)[0]


def wanted(name):
    """EVSHIM_ORACLE_FAMILIES: shell patterns; those that begin with ! leave families out."""
    out = [p[1:] for p in FAMILIES if p.startswith("!")]
    into = [p for p in FAMILIES if not p.startswith("!")] or ["*"]
    matches = lambda patterns: any(fnmatch.fnmatch(family(name), p) for p in patterns)  # noqa: E731
    return matches(into) and not matches(out)


def load(lines):
    """Name of a sequence: its lines, operations and results."""
    sequences, current = collections.OrderedDict(), None
    for line in lines:
        line = line.rstrip("\n")
        if line.startswith("S "):
            current = sequences.setdefault(line[2:], [])
        elif current is not None and not line.startswith("#"):
            current.append(line)
    return sequences


def load_file(path):
    with gzip.open(path, "rt") if path.endswith(".gz") else open(path) as file:
        return load(file)


def save(path, sequences):
    with open(path, "w") as file:
        for name, lines in sequences.items():
            file.write("\n".join([f"S {name}", *lines]) + "\n")


def unordered(lines):
    """The order of the events of one call does not matter. (compare.py does the same for its table.)"""
    result = []
    for line in lines:
        words = line.split(" ")
        events = sorted(words[2:]) if line.startswith("= ") and "," in line else words[2:]
        result.append(" ".join(words[:2] + events))
    return result


class Player:
    def __init__(self, runner):
        self.runner = runner
        self.end = time.monotonic() + BUDGET
        self.timeouts = 0
        self.not_played = 0

    def play(self, name, lines):
        """What the library answers to a sequence, in the form of the golden traces."""
        left = min(TIMEOUT, self.end - time.monotonic())
        if left <= 0 or self.timeouts >= MOST_TIMEOUTS:
            self.not_played += 1
            return ["! not played"]
        operations = "\n".join([f"S {name}", *[line for line in lines if not line.startswith("= ")], ""])
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "errors": "replace"}
        process = subprocess.Popen([self.runner], start_new_session=True, **pipes)
        try:
            output, _ = process.communicate(operations, timeout=left)
        except subprocess.TimeoutExpired:
            self.timeouts += 1
            os.killpg(process.pid, signal.SIGKILL)  # the runner's child, which hangs, is of its group
            output, _ = process.communicate()
            output += "! time-out\n"
        if process.returncode not in (0, -signal.SIGKILL):
            output += f"! exit status {process.returncode}\n"
        return load(output.splitlines()).get(name, ["! no answer"])

    def play_all(self, sequences):
        timed = {name: lines for name, lines in sequences.items() if family(name) == "a-timer"}
        others = {name: lines for name, lines in sequences.items() if name not in timed}
        answers = self.crowd(others, JOBS)
        answers.update(self.crowd(timed, SIDE_BY_SIDE))
        timed.update({name: lines for name, lines in sequences.items() if family(name) in OF_THE_NETWORK})
        self.replay(timed, answers)
        return collections.OrderedDict((name, answers[name]) for name in sequences)

    def crowd(self, sequences, jobs):
        with concurrent.futures.ThreadPoolExecutor(max(1, jobs)) as pool:
            futures = {name: pool.submit(self.play, name, lines) for name, lines in sequences.items()}
            return {name: future.result() for name, future in futures.items()}

    def replay(self, timed, answers):
        """A timed sequence differs if it does so three times, the last two alone on the machine."""
        differing = [name for name, lines in timed.items() if unordered(answers[name]) != unordered(lines)]
        if len(differing) > MOST_REPLAYS:
            return
        for name in differing:
            for _ in range(2):
                again = self.play(name, timed[name])
                if unordered(again) == unordered(timed[name]):
                    print(f"{name}: equal when it is played alone")
                    answers[name] = again
                    break


def table(oracle, golden, answers):
    """compare.py's table, and its counts: {family: (sequences, exact, unordered)}."""
    with tempfile.TemporaryDirectory(prefix="evshim-oracle.") as scratch:
        save(f"{scratch}/golden", golden)
        save(f"{scratch}/answers", answers)
        command = [sys.executable, f"{oracle}/compare.py", f"{scratch}/golden", f"{scratch}/answers"]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    counts = {}
    print(f"{'family':14} sequences   exact  unordered")
    for line in text.splitlines():
        found = re.match(r"(\S+) +(\d+) sequences: exact +(\d+) +unordered +(\d+)", line)
        counts[found[1]] = tuple(int(n) for n in found.groups()[1:])
        print(f"{found[1]:14} {counts[found[1]][0]:9} {counts[found[1]][1]:7} {counts[found[1]][2]:10}")
    return counts


def name_differing(golden, answers):
    """The first differing sequences of each family, those first that differ even unordered."""
    by_family = collections.OrderedDict()
    for name, lines in golden.items():
        if answers[name] != lines:
            worse = unordered(answers[name]) != unordered(lines)
            by_family.setdefault(family(name), ([], []))[0 if worse else 1].append(name)
    for name, (worse, order) in by_family.items():
        for what, names in (("differ", worse), ("differ in order", order)):
            if names:
                more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
                print(f"{name}: {what}: {' '.join(names[:NAMED])}{more}")


def judge(counts):
    """a-*: every sequence equal unordered, LEAST_EXACT of them exactly. q-*: for information."""
    total, exact, equal = (sum(c[i] for name, c in counts.items() if name.startswith("a-")) for i in range(3))
    if total == 0:
        print("no sequence of a family a-* was played")
        return True
    print(f"a-*: {equal} of {total} equal unordered (all must be), {exact} exactly: {100 * exact / total:.2f} %", end=" ")
    print(f"(at least {100 * LEAST_EXACT:.0f} %)")
    return equal == total and exact >= LEAST_EXACT * total


def show_first(golden, answers):
    """EVSHIM_ORACLE_SHOW=NAME: that sequence with the differences."""
    name = os.environ.get("EVSHIM_ORACLE_SHOW")
    if name not in golden:
        return
    print(f"S {name}")
    for i, line in enumerate(golden[name]):
        got = answers[name][i] if i < len(answers[name]) else "(nothing)"
        print(f"  {line}" if got == line else f"- {line}\n+ {got}")


def compare(oracle, player, golden):
    answers = player.play_all(golden)
    good = judge(table(oracle, golden, answers))
    name_differing(golden, answers)
    show_first(golden, answers)
    return good


def hand_written(player, path):
    golden = {name: lines for name, lines in load_file(path).items() if FAMILIES == ["*"]}
    if not golden:
        return
    answers = player.crowd(golden, JOBS)
    differing = [name for name, lines in golden.items() if answers[name] != lines]
    print(f"hand-written: {len(golden) - len(differing)} of {len(golden)} exactly equal; differing:")
    print("  " + (" ".join(differing) or "none"))
    show_first(golden, answers)


def fuzz(oracle, seed):
    """Sequences of gen.py with the model's answers, without those in which two timers expire at once."""
    made = subprocess.run([sys.executable, f"{oracle}/gen.py", str(seed)], capture_output=True, text=True, check=True)
    model = [sys.executable, f"{oracle}/model.py", "-o", "-"]
    said = subprocess.run(model, input=made.stdout, capture_output=True, text=True, check=True)
    sequences = load(said.stdout.splitlines())
    timers = timer_model(oracle)
    return collections.OrderedDict(
        (name, lines) for name, lines in sequences.items() if wanted(name) and not timers.ties(lines)
    )


def timer_model(oracle):
    argv, sys.argv = sys.argv, ["model.py", "-o", os.devnull]  # it is a program: let it do nothing
    model = runpy.run_path(f"{oracle}/model.py")["M"]
    sys.argv = argv

    class Timers(model):
        """Notices when two timers that expire at the same instant are queued by it: their order is not defined."""

        tie = False

        def tick(self, ms):
            end = self.now + ms
            while (at := min((timer.next for timer in self.timers), default=end + 1)) <= end:
                due = [timer for timer in self.timers if timer.next - at < 0.5]
                self.tie |= sum(not timer.disabled and timer not in timer.q.fifo for timer in due) > 1
                super().tick(at - self.now + 1e-6)
            super().tick(end - self.now)
            self.now = end

        @classmethod
        def ties(cls, lines):
            if not any(line.startswith("sleep") for line in lines):
                return False
            machine = cls()
            for line in lines:
                if not line.startswith("= "):
                    machine.run(line)
            return machine.tie

    return Timers


def main():
    arguments = sys.argv[1:]
    if arguments[0] == "--fuzz":
        seed, oracle, runner = arguments[1:]
        player = Player(runner)
        good = compare(oracle, player, fuzz(oracle, seed))
    else:
        oracle, runner, traces, *extra = arguments
        player = Player(runner)
        golden = {name: lines for name, lines in load_file(traces).items() if wanted(name)}
        good = compare(oracle, player, golden)
        for path in extra:
            hand_written(player, path)
    if player.timeouts or player.not_played:
        print(f"{player.timeouts} sequences ran into their time-out, {player.not_played} were not played")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
