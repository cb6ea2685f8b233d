"""A worker in a process of its own, to be killed. What its handlers do to the world is a line in a side file.

usage: program.py DATABASE SIDE_FILE FAULT [--die-in-handler N] [--workers N] [--meet N]

Runs until nothing is queued or running, then stops gracefully. A `sessionCreate` job does its work, then ends by queueing
a `sendUserPrompt` job in its finishing transaction, as real steps do.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from doce.db.connection import open_database
from doce.queue import bell, jobs
from doce.queue.context import JobContext
from doce.queue.enqueue import enqueue
from doce.queue.registry import Handler
from doce.queue.types import JobState, OpencodeSendUserPrompt, OpencodeSessionCreate
from doce.queue.worker import Worker
from doce.testing import faults


class World:
    """Lines appended to a file, each in one write, so that processes do not mix them."""

    def __init__(self, file: Path, die_at: int) -> None:
        self._out = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._lock = threading.Lock()
        self._die_at = die_at

    def write(self, what: str, context: JobContext) -> None:
        job = context.job
        os.write(self._out, f"{what} {job.id} {job.project_id} {os.getpid()} {job.attempts}\n".encode())

    def middle(self) -> None:
        with self._lock:
            self._die_at -= 1
            if self._die_at == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("database", type=Path)
    parser.add_argument("side", type=Path)
    parser.add_argument("fault")
    parser.add_argument("--die-in-handler", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--meet", type=int, default=1, help="no job ends before this many processes have begun one")
    options = parser.parse_args()
    open_database(options.database)
    faults.configure(options.fault)
    world = World(options.side, options.die_in_handler)

    def create(context: JobContext, payload: OpencodeSessionCreate) -> None:
        world.write("begin", context)
        while len({line.split()[3] for line in options.side.read_text().splitlines()}) < options.meet:
            context.cancelled.wait(0.01)
        world.middle()
        world.write("end", context)
        with context.finishing():
            enqueue(OpencodeSendUserPrompt(project_id=payload.project_id), dedupe_key=f"after:{context.job.id}", max_attempts=100)

    def send(context: JobContext, payload: OpencodeSendUserPrompt) -> None:
        world.write("begin", context)
        world.middle()
        world.write("end", context)

    handlers = {OpencodeSessionCreate.type: Handler(create), OpencodeSendUserPrompt.type: Handler(send)}
    worker = Worker(handlers, workers=options.workers, poll_ms=20, stop_grace_s=5)
    worker.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        seen = bell.work.count
        counts = jobs.counts()
        if not counts[JobState.QUEUED] and not counts[JobState.RUNNING]:
            break
        bell.work.wait(seen, 0.05)
    worker.stop()


if __name__ == "__main__":
    main()
