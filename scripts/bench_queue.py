"""scripts/bench queue: the queue beside plain SqliteHuey tuned for latency, both with every commit synced to disk.

What is counted for doce is everything it does for a job: dedupe, one running job a project, lease, fence, history, and the
three job.state events in the log. The peer keeps none of these: it deletes the message and calls the function.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import random
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from huey import SqliteHuey
from huey.consumer import Consumer

from doce.clock import SystemClock
from doce.db.connection import database, open_database
from doce.queue import model
from doce.queue.enqueue import enqueue
from doce.queue.registry import Handler
from doce.queue.types import OpencodeSessionCreate
from doce.queue.worker import Worker

TYPE = OpencodeSessionCreate.type
WORKERS = 4
OLD_JOBS = (0, 10_000, 100_000)
#: ms between two jobs of the latency measurement: the worker is idle when the next one comes
PAUSE_MS = (5, 25)
PATIENCE_S = 300


class Started:
    """When handlers began, and a wait for the n-th of them."""

    def __init__(self) -> None:
        self.at: list[float] = []
        self._changed = threading.Condition()

    def now(self) -> None:
        at = time.perf_counter()
        with self._changed:
            self.at.append(at)
            self._changed.notify_all()

    def wait(self, count: int) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.at) >= count, PATIENCE_S):
                raise SystemExit(f"only {len(self.at)} of {count} jobs began in {PATIENCE_S} s")


class Doce:
    name = "doce"

    def __init__(self, folder: Path) -> None:
        self.db = open_database(folder / "db.sqlite")
        if self.db.pragma("synchronous") != 2:
            raise SystemExit("the connection is not synchronous=FULL")
        self.started = Started()
        self._worker = Worker({TYPE: Handler(lambda *_: self.started.now())}, workers=WORKERS)

    def put(self, number: int) -> None:
        enqueue(OpencodeSessionCreate(project_id=f"p{number}"))

    def start(self) -> None:
        self._worker.start()

    def settled(self) -> None:
        """Until what was begun is finished, committed."""
        while database.execute_sql("SELECT 1 FROM jobs WHERE state IN ('queued', 'running') LIMIT 1").fetchone():
            time.sleep(0.001)

    def claim(self, number: int) -> float:
        """Seconds of one claim; the job is finished outside the measurement."""
        begun = time.perf_counter()
        job = model.claim(f"bench{number}", clock=SystemClock(), lease_ms=60_000)
        took = time.perf_counter() - begun
        if job is None:
            raise SystemExit("there was nothing to claim")
        model.finish(job, clock=SystemClock())
        return took

    def age(self, old: int) -> None:
        """Jobs of the past week, with their events."""
        now = SystemClock().now_ms()
        with database.atomic():
            for number in range(old):
                at = now - 600_000_000 + number * 5_000
                database.execute_sql(
                    "INSERT INTO jobs (type, state, project_id, payload, attempts, run_at, dedupe_key, created_at, updated_at, started_at, "
                    "finished_at) VALUES (?, 'succeeded', ?, ?, 1, ?, ?, ?, ?, ?, ?)",
                    (TYPE.value, f"p{number % 200}", f'{{"projectId":"p{number % 200}"}}', at, f"old:{number % 200}", at, at, at, at),
                )
                database.execute_sql(
                    "INSERT INTO events (project_id, type, payload, at) VALUES (?, 'job.state', '{\"state\":\"succeeded\"}', ?)",
                    (f"p{number % 200}", at),
                )

    def stop(self) -> None:
        self._worker.stop()
        self.close()

    def close(self) -> None:
        self.db.close()


class Peer:
    name = "SqliteHuey"

    def __init__(self, folder: Path) -> None:
        self.huey = SqliteHuey(filename=str(folder / "huey.db"), fsync=True, results=False)
        self.started = Started()
        started = self.started

        @self.huey.task()  # type: ignore[untyped-decorator, unused-ignore]
        def run(number: int) -> None:
            started.now()

        self._task = run
        self._consumer = _Embedded(self.huey, workers=WORKERS, periodic=False, initial_delay=0.005, max_delay=0.02, shutdown_timeout=5)

    def put(self, number: int) -> None:
        self._task(number)

    def start(self) -> None:
        self._consumer.start()

    def settled(self) -> None:
        """A message is gone before its function begins: nothing is left to wait for."""

    def claim(self, number: int) -> float:
        begun = time.perf_counter()
        task = self.huey.dequeue()
        took = time.perf_counter() - begun
        if task is None:
            raise SystemExit("there was nothing to dequeue")
        return took

    def age(self, old: int) -> None:
        """It keeps no history."""

    def stop(self) -> None:
        self._consumer.stop(graceful=True)
        self.close()

    def close(self) -> None:
        self.huey.storage.close()


class _Embedded(Consumer):  # type: ignore[misc]
    def _set_signal_handlers(self) -> None:
        """The process belongs to the benchmark."""


def latency(kind: type[Any], samples: int, seed: int) -> tuple[float, float]:
    """p50 and p95 from before the enqueue to the first line of the handler, in ms; the worker is idle each time."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        queue = kind(Path(folder))
        queue.start()
        took = []
        for number in range(samples + 10):
            time.sleep(rng.uniform(*PAUSE_MS) / 1000)
            begun = time.perf_counter()
            queue.put(number)
            queue.started.wait(number + 1)
            took.append((queue.started.at[-1] - begun) * 1000)
            queue.settled()
        queue.stop()
    cuts = statistics.quantiles(took[10:], n=100)
    return cuts[49], cuts[94]


def drain(kind: type[Any], count: int) -> float:
    """No-op jobs a second, from a full queue until the last is finished."""
    with tempfile.TemporaryDirectory() as folder:
        queue = kind(Path(folder))
        for number in range(count):
            queue.put(number)
        begun = time.perf_counter()
        queue.start()
        queue.started.wait(count)
        queue.settled()
        took = time.perf_counter() - begun
        queue.stop()
    return count / took


def claim_times(kind: type[Any], count: int) -> list[float]:
    """Median ms of a claim beside 0, 10,000 and 100,000 old jobs."""
    medians = []
    for old in OLD_JOBS:
        with tempfile.TemporaryDirectory() as folder:
            queue = kind(Path(folder))
            queue.age(old)
            for number in range(count):
                queue.put(number)
            medians.append(statistics.median(queue.claim(number) for number in range(count)) * 1000)
            queue.close()
    return medians


def sync_ms(folder: Path) -> float:
    """Median ms of the smallest durable SQLite transaction on this disk: what nobody can beat."""
    took = []
    with closing(sqlite3.connect(folder / "floor.db", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = wal")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE t (a)")
        for _ in range(200):
            time.sleep(0.003)
            begun = time.perf_counter()
            db.execute("INSERT INTO t VALUES (1)")
            took.append((time.perf_counter() - begun) * 1000)
    return statistics.median(took)


def measure(runs: int, samples: int, count: int) -> dict[str, dict[str, float]]:
    """name of the figure → {doce, SqliteHuey}: the medians of `runs` runs, the two taking turns."""
    found: dict[str, dict[str, list[float]]] = {}

    def note(figure: str, kind: type[Any], value: float) -> None:
        found.setdefault(figure, {}).setdefault(kind.name, []).append(value)

    for run in range(runs):
        for kind in (Doce, Peer) if run % 2 == 0 else (Peer, Doce):
            p50, p95 = latency(kind, samples, seed=run)
            note("enqueue to handler start, p50, ms", kind, p50)
            note("enqueue to handler start, p95, ms", kind, p95)
            note(f"no-op jobs/s, {WORKERS} workers", kind, drain(kind, count))
            for old, ms in zip(OLD_JOBS, claim_times(kind, min(count, 300)), strict=True):
                note(f"claim beside {old:,} old jobs, ms", kind, ms)
        print(f"run {run + 1} of {runs} done", file=sys.stderr)
    return {figure: {name: statistics.median(values) for name, values in by.items()} for figure, by in found.items()}


#: figure → (target in words, whether a value reaches it, given all of doce's figures)
TARGETS: dict[str, tuple[str, Callable[[float, dict[str, float]], bool]]] = {
    "enqueue to handler start, p50, ms": ("≤ 2", lambda value, _: value <= 2),
    "enqueue to handler start, p95, ms": ("≤ 12", lambda value, _: value <= 12),
    f"no-op jobs/s, {WORKERS} workers": ("≥ 800", lambda value, _: value >= 800),
    "claim beside 100,000 old jobs, ms": ("flat", lambda value, all_: value <= 1.5 * all_["claim beside 0 old jobs, ms"]),
}


def report(found: dict[str, dict[str, float]]) -> bool:
    """Print the table; whether every target was reached."""
    ours = {figure: by["doce"] for figure, by in found.items()}
    reached = True
    print(f"{'':38}{'doce':>10}{'SqliteHuey':>12}{'ratio':>8}   target")
    for figure, by in found.items():
        words, ok = TARGETS.get(figure, ("", lambda *_: True))
        good = ok(by["doce"], ours)
        reached &= good
        verdict = f"{words} {'reached' if good else 'MISSED'}" if words else ""
        print(f"{figure:38}{by['doce']:10.2f}{by['SqliteHuey']:12.2f}{by['doce'] / by['SqliteHuey']:8.2f}   {verdict}")
    return reached


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench queue", description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--samples", type=int, default=200, help="jobs of one latency measurement")
    parser.add_argument("--jobs", type=int, default=2000, help="jobs of one drain")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    options = parser.parse_args(argv)
    logging.getLogger("huey").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        floor = sync_ms(Path(folder))
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {os.cpu_count()} cores; medians of {options.runs} runs")
    print(f"smallest durable transaction on this disk: {floor:.2f} ms; an enqueue and a claim are one each")
    reached = report(measure(options.runs, options.samples, options.jobs))
    print("SqliteHuey: initial_delay 5 ms, max_delay 20 ms, fsync=True; doce: synchronous=FULL, all semantics, events included")
    return 1 if options.check and not reached else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
