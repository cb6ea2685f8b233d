"""kill -9 of a real worker process, at every point: nothing is lost, finished twice, or left running."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import doce
from doce.db.connection import database
from doce.events import log as events
from doce.queue import jobs
from doce.queue.enqueue import enqueue
from doce.queue.types import JobState, OpencodeSessionCreate

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).with_name("program.py")
PATIENCE_S = 60


class Processes:
    """Worker processes on one database, and the file that their handlers write to."""

    def __init__(self, folder: Path) -> None:
        self.database = folder / "data" / "db.sqlite"
        self.side = folder / "side.txt"
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *options: str, fault: str = "") -> subprocess.Popen[str]:
        argv = [sys.executable, str(PROGRAM), str(self.database), str(self.side), fault, *options]
        environment = {"PYTHONPATH": str(Path(doce.__file__).parents[1])}
        process = subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True)
        self._started.append(process)
        return process

    def run(self, *options: str, fault: str = "") -> int:
        """Until it ends; its exit code."""
        return self.start(*options, fault=fault).wait(PATIENCE_S)

    def lines(self) -> list[tuple[str, int, str, int, int]]:
        """(begin or end, job, project, pid, attempt) in the order of the writes."""
        words = [line.split() for line in self.side.read_text().splitlines()] if self.side.exists() else []
        return [(what, int(job), project, int(pid), int(attempt)) for what, job, project, pid, attempt in words]

    def close(self) -> None:
        for process in self._started:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    started = Processes(tmp_path)
    yield started
    started.close()


def ask(projects: int, each: int = 1) -> list[int]:
    return [
        enqueue(OpencodeSessionCreate(project_id=f"p{project}"), dedupe_key=None, max_attempts=100).job.id
        for _ in range(each)
        for project in range(projects)
    ]


def assert_everything_happened_once(asked: list[int]) -> None:
    """Every job and the one that follows it succeeded, once; nothing else is there."""
    found = jobs.list(limit=10_000)
    assert {job.state for job in found} == {JobState.SUCCEEDED}
    assert sorted(job.id for job in found if job.type == "opencode.sessionCreate") == asked
    follows = Counter(job.dedupe_key for job in found if job.type == "opencode.sendUserPrompt")
    assert follows == {f"after:{job_id}": 1 for job_id in asked}
    ended = Counter(event.payload["jobId"] for event in events.all_after(None) if event.payload["state"] == "succeeded")
    assert ended == {job.id: 1 for job in found}
    assert all(job.locked_by is None and job.lease_expires_at is None for job in found)


#: point → (state of the job after the kill, times its handler began in all)
POINTS = {
    "queue.claim": (JobState.QUEUED, 1),
    "queue.claimed": (JobState.RUNNING, 1),
    "in the handler": (JobState.RUNNING, 2),
    "queue.worked": (JobState.RUNNING, 2),
    "queue.enqueued": (JobState.RUNNING, 2),
    "queue.finish": (JobState.RUNNING, 2),
    "queue.finished": (JobState.SUCCEEDED, 1),
}


@pytest.mark.parametrize("point", POINTS)
def test_kill_at(point: str, processes: Processes) -> None:
    state, begun = POINTS[point]
    asked = ask(1)
    killed = processes.run("--die-in-handler", "1") if point == "in the handler" else processes.run(fault=f"{point}=kill")
    assert killed == -signal.SIGKILL
    assert jobs.get(asked[0]).state is state
    if state is JobState.RUNNING:
        assert len(jobs.list()) == 1  # what comes next is in the finishing transaction or nowhere
    assert processes.run() == 0
    assert_everything_happened_once(asked)
    assert [line[1] for line in processes.lines() if line[0] == "begin"].count(asked[0]) == begun
    # The lease of the dead process was void at once: a minute did not have to pass, and the attempt counted.
    assert jobs.get(asked[0]).attempts == (2 if state is JobState.RUNNING else 1)


def test_kill_while_the_stop_gives_jobs_back(processes: Processes) -> None:
    asked = ask(1)
    assert processes.run(fault="queue.release=kill") == -signal.SIGKILL
    assert processes.run() == 0
    assert_everything_happened_once(asked)


def test_a_job_that_kills_its_worker_every_time_ends_failed(processes: Processes) -> None:
    job = enqueue(OpencodeSessionCreate(project_id="p"), max_attempts=3).job
    for _ in range(3):
        assert processes.run("--die-in-handler", "1") == -signal.SIGKILL
    assert processes.run() == 0
    ended = jobs.get(job.id)
    assert (ended.state, ended.attempts) == (JobState.FAILED, 3)
    assert "ended before it was done" in (ended.last_error or "")


def assert_no_two_at_once(lines: list[tuple[str, int, str, int, int]]) -> None:
    """Between a job's begin and its end nobody else works on its project, unless its process was killed in between."""
    inside: dict[str, tuple[int, int]] = {}
    for what, job, project, pid, _ in lines:
        if what == "begin":
            assert project not in inside, f"{project}: {job} began inside {inside[project]}"
            inside[project] = (job, pid)
        else:
            assert inside.pop(project) == (job, pid)


@pytest.mark.slow
def test_two_worker_processes_share_the_work_and_never_a_project(processes: Processes) -> None:
    jobs.pause()
    asked = ask(projects=6, each=25)
    both = [processes.start("--workers", "4", "--meet", "2") for _ in range(2)]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    jobs.resume()
    assert [process.wait(PATIENCE_S) for process in both] == [0, 0]
    assert_everything_happened_once(asked)
    lines = processes.lines()
    assert len(lines) == 2 * 2 * len(asked)
    assert_no_two_at_once(lines)
    assert {pid for _, _, _, pid, _ in lines} == {process.pid for process in both}


@pytest.mark.slow
def test_killed_again_and_again_beside_one_that_lives(processes: Processes) -> None:
    rng = random.Random(20261)
    asked = ask(projects=4, each=15)
    points = [*(point for point in POINTS if point.startswith("queue.")), "queue.claim"]
    for _ in range(8):
        # Other jobs are done meanwhile; a process may also run out of work before its turn to die comes.
        fault = f"{rng.choice(points)}=kill@{rng.randint(1, 12)}"
        assert processes.run("--workers", "3", fault=fault) in (0, -signal.SIGKILL)
    two = [processes.start("--workers", "3", "--die-in-handler", "7"), processes.start("--workers", "3")]
    assert two[0].wait(PATIENCE_S) in (0, -signal.SIGKILL)
    assert two[1].wait(PATIENCE_S) == 0
    assert processes.run() == 0
    assert_everything_happened_once(asked)
    assert database.execute_sql("SELECT count(*) FROM jobs WHERE attempts > 1").fetchone()[0] > 0
