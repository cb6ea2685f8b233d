"""The life of a job, exact to the millisecond, with a clock moved by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import doce
from doce.clock import ManualClock
from doce.db.connection import database
from doce.events import log as events
from doce.queue import bell, jobs, model, owner, registry
from doce.queue.context import JobContext
from doce.queue.enqueue import enqueue
from doce.queue.interrupts import Cancelled, LostLease
from doce.queue.registry import Handler
from doce.queue.types import Job, JobState, OpencodeSendUserPrompt, OpencodeSessionCreate

LEASE_MS = 60_000


def claim(clock: ManualClock, by: str = "w1") -> Job:
    job = model.claim(by, clock=clock, lease_ms=LEASE_MS)
    assert job is not None
    return job


def ask(clock: ManualClock, project: str = "p", *, max_attempts: int = 3) -> Job:
    return enqueue(OpencodeSessionCreate(project_id=project), clock=clock, max_attempts=max_attempts).job


def states(job_id: int) -> list[str]:
    return [event.payload["state"] for event in events.after(None, 0) if event.payload["jobId"] == job_id]


def test_backoff_is_2_4_8_seconds_and_never_more_than_60(clock: ManualClock) -> None:
    ask(clock, max_attempts=8)
    waits = []
    for attempt in range(1, 8):
        job = claim(clock, f"w{attempt}")
        assert job.attempts == attempt
        after = model.fail(job, f"no {attempt}", permanent=False, clock=clock)
        assert (after.state, after.last_error) == (JobState.QUEUED, f"no {attempt}")
        waits.append(after.run_at - clock.now_ms())
        clock.advance(ms=waits[-1] - 1)
        assert model.claim("early", clock=clock, lease_ms=LEASE_MS) is None
        clock.advance(ms=1)
    assert waits == [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]
    last = model.fail(claim(clock, "w8"), "no 8", permanent=False, clock=clock)
    assert (last.state, last.attempts, last.last_error) == (JobState.FAILED, 8, "no 8")


def test_a_permanent_error_fails_at_once(clock: ManualClock) -> None:
    ask(clock)
    assert model.fail(claim(clock), "never", permanent=True, clock=clock).state is JobState.FAILED


def test_reschedule_counts_no_attempt_keeps_no_error_and_floods_no_log(clock: ManualClock) -> None:
    job = ask(clock)
    for look in range(50):
        running = claim(clock, f"w{look}")
        assert (running.attempts, running.polls, running.started_at) == (1, look, job.created_at)
        again = model.reschedule(running, 100, clock=clock)
        assert (again.run_at, again.attempts, again.last_error) == (clock.now_ms() + 100, 0, None)
        assert model.claim("early", clock=clock, lease_ms=LEASE_MS) is None
        clock.advance(ms=100)
    model.finish(claim(clock, "last"), clock=clock)
    assert states(job.id) == ["queued", "running", "succeeded"]


def test_every_change_is_in_the_log_with_the_error(clock: ManualClock) -> None:
    job = ask(clock, max_attempts=2)
    model.fail(claim(clock, "a"), "broke", permanent=False, clock=clock)
    clock.advance(s=2)
    model.fail(claim(clock, "b"), "broke again", permanent=False, clock=clock)
    found = [(event.project_id, event.payload["state"], event.payload.get("error")) for event in events.after(None, 0)]
    assert found == [
        ("p", "queued", None),
        ("p", "running", None),
        ("p", "queued", "broke"),
        ("p", "running", None),
        ("p", "failed", "broke again"),
    ]
    assert states(job.id)[-1] == "failed"


def test_one_running_job_a_project_by_the_index_too(clock: ManualClock) -> None:
    ask(clock)
    enqueue(OpencodeSendUserPrompt(project_id="p"), clock=clock)
    claim(clock)
    assert model.claim("w2", clock=clock, lease_ms=LEASE_MS) is None
    with pytest.raises(Exception, match="UNIQUE"):
        database.execute_sql("UPDATE jobs SET state = 'running' WHERE state = 'queued'")


def test_jobs_of_no_project_run_side_by_side(clock: ManualClock) -> None:
    for _ in range(3):
        enqueue(OpencodeSessionCreate(project_id="p"), clock=clock, dedupe_key=None)
    database.execute_sql("UPDATE jobs SET project_id = NULL")
    assert {claim(clock, f"w{n}").id for n in range(3)} == {1, 2, 3}


def test_a_queued_job_is_cancelled_at_once(clock: ManualClock) -> None:
    job = jobs.cancel(ask(clock).id, clock=clock)
    assert (job.state, job.finished_at) == (JobState.CANCELLED, clock.now_ms())
    assert model.claim("w", clock=clock, lease_ms=LEASE_MS) is None


def test_a_running_job_is_asked_and_then_ends_cancelled_however_it_ends(clock: ManualClock) -> None:
    for end in ("finish", "fail", "reschedule", "cancelled"):
        job = ask(clock)
        running = claim(clock, end)
        rings = bell.cancel.count
        assert jobs.cancel(job.id, clock=clock).state is JobState.RUNNING
        assert bell.cancel.count == rings + 1
        context = JobContext(running, clock)
        assert context.cancelled.is_set()
        with pytest.raises(Cancelled):
            context.throw_if_cancel_requested()
        if end == "finish":
            with pytest.raises(Cancelled), context.finishing():
                enqueue(OpencodeSendUserPrompt(project_id="p"), clock=clock)
            model.cancelled(running, clock=clock)
        elif end == "fail":
            model.fail(running, "broke", permanent=False, clock=clock)
        elif end == "reschedule":
            model.reschedule(running, 100, clock=clock)
        else:
            model.cancelled(running, clock=clock)
        assert jobs.get(job.id).state is JobState.CANCELLED
    assert {job.type for job in jobs.list()} == {"opencode.sessionCreate"}


def test_finishing_is_one_transaction_with_what_comes_next(clock: ManualClock) -> None:
    ask(clock)
    with pytest.raises(ZeroDivisionError), JobContext(claim(clock), clock).finishing():
        enqueue(OpencodeSendUserPrompt(project_id="p"), clock=clock)
        raise ZeroDivisionError
    assert [(job.type, job.state) for job in jobs.list()] == [("opencode.sessionCreate", "running")]
    with JobContext(jobs.get(1), clock).finishing():
        # The key of the job that ends is free inside: a step may ask for its own type again.
        assert not enqueue(OpencodeSessionCreate(project_id="p"), clock=clock).existing
    assert [(job.type, job.state) for job in jobs.list()] == [("opencode.sessionCreate", "queued"), ("opencode.sessionCreate", "succeeded")]


def test_a_worker_that_lost_its_lease_changes_nothing(clock: ManualClock) -> None:
    job = ask(clock)
    zombie = claim(clock, "zombie")
    clock.advance(ms=LEASE_MS)
    assert [swept.id for swept in model.sweep(clock=clock, is_gone=lambda _: False)] == [job.id]
    heir = claim(clock, "heir")
    context = JobContext(zombie, clock)
    with pytest.raises(LostLease), context.finishing():
        enqueue(OpencodeSendUserPrompt(project_id="p"), clock=clock)
    with pytest.raises(LostLease):
        context.throw_if_cancel_requested()
    with pytest.raises(LostLease):
        model.fail(zombie, "late", permanent=True, clock=clock)
    with pytest.raises(LostLease):
        model.reschedule(zombie, 1, clock=clock)
    with pytest.raises(LostLease):
        model.cancelled(zombie, clock=clock)
    assert model.heartbeat([zombie], clock=clock, lease_ms=LEASE_MS) == [zombie]
    assert model.release([zombie], clock=clock) == []
    assert jobs.get(job.id) == heir
    assert len(jobs.list()) == 1


def test_a_heartbeat_keeps_a_lease(clock: ManualClock) -> None:
    ask(clock)
    job = claim(clock)
    for _ in range(5):
        clock.advance(ms=LEASE_MS - 1)
        assert model.heartbeat([job], clock=clock, lease_ms=LEASE_MS) == []
        assert model.sweep(clock=clock, is_gone=lambda _: False) == []
    assert model.held(job).state is JobState.RUNNING


def test_a_lease_of_a_dead_process_is_void_at_once_that_of_another_host_when_it_expires(clock: ManualClock) -> None:
    ask(clock, "here")
    ask(clock, "there")
    claim(clock, f"{owner.HOST}:999999999:1:1")
    claim(clock, "elsewhere:1:1:1")
    assert [job.project_id for job in model.sweep(clock=clock, is_gone=owner.is_gone)] == ["here"]
    clock.advance(ms=LEASE_MS)
    assert [job.project_id for job in model.sweep(clock=clock, is_gone=owner.is_gone)] == ["there"]


def test_only_the_dead_are_swept_when_asked_so(clock: ManualClock) -> None:
    ask(clock)
    claim(clock, "elsewhere:1:1:1")
    clock.advance(ms=2 * LEASE_MS)
    assert model.sweep(clock=clock, is_gone=owner.is_gone, expired=False) == []


def test_spent_attempts_end_in_failed_with_the_hook_in_the_same_transaction(clock: ManualClock) -> None:
    told = []

    def failed(job: Job, error: str) -> None:
        told.append((job.state, error, bool(database.transaction_depth())))

    registry.install({"opencode.sessionCreate": Handler(lambda *_: None, failed=failed)})
    job = ask(clock, max_attempts=2)
    for attempt in (1, 2):
        assert claim(clock, f"dead{attempt}").attempts == attempt
        model.sweep(clock=clock, is_gone=lambda _: True)
    assert (jobs.get(job.id).state, jobs.get(job.id).last_error) == (JobState.FAILED, model.WORKER_GONE)
    assert told == [(JobState.FAILED, model.WORKER_GONE, True)]


def test_a_cancelled_job_of_a_dead_worker_is_cancelled_and_its_hook_told(clock: ManualClock) -> None:
    told = []
    registry.install({"opencode.sessionCreate": Handler(lambda *_: None, cancelled=lambda job: told.append(job.id))})
    job = ask(clock)
    claim(clock)
    jobs.cancel(job.id, clock=clock)
    model.sweep(clock=clock, is_gone=lambda _: True)
    assert jobs.get(job.id).state is JobState.CANCELLED
    assert told == [job.id]


def test_a_hook_with_a_bug_does_not_keep_the_job_alive(clock: ManualClock) -> None:
    def broken(job: Job) -> None:
        database.execute_sql("INSERT INTO instance_settings VALUES ('half', 'done')")
        raise ZeroDivisionError

    registry.install({"opencode.sessionCreate": Handler(lambda *_: None, cancelled=broken)})
    job = ask(clock)
    assert jobs.cancel(job.id, clock=clock).state is JobState.CANCELLED
    assert database.execute_sql("SELECT * FROM instance_settings").fetchall() == []


def test_release_gives_the_attempt_back_and_keeps_the_place(clock: ManualClock) -> None:
    first, second = ask(clock, "a"), ask(clock, "b")
    running = claim(clock)
    clock.advance(s=30)
    (released,) = model.release([running], clock=clock)
    assert (released.state, released.attempts, released.run_at) == (JobState.QUEUED, 0, first.run_at)
    assert [claim(clock, "x").id, claim(clock, "y").id] == [first.id, second.id]


def test_nothing_is_claimed_while_paused(clock: ManualClock) -> None:
    ask(clock)
    jobs.pause()
    assert jobs.paused()
    assert model.claim("w", clock=clock, lease_ms=LEASE_MS) is None
    jobs.resume()
    assert not jobs.paused()
    assert claim(clock).attempts == 1


def test_this_process_is_alive_and_one_with_its_pid_but_another_start_is_not() -> None:
    mine = owner.name("1")
    host, pid, start, _ = mine.split(":")
    assert not owner.is_gone(mine)
    assert owner.is_gone(f"{host}:{pid}:{start}0:1")
    assert not owner.is_gone(f"another-host:{pid}:{start}0:1")
    assert not owner.is_gone("nonsense")


def test_a_process_that_was_killed_is_gone_even_while_nobody_has_reaped_it() -> None:
    program = "from doce.queue import owner; print(owner.name('1'), flush=True); input()"
    environment = {"PYTHONPATH": str(Path(doce.__file__).parents[1])}
    argv = [sys.executable, "-c", program]
    with subprocess.Popen(argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        assert not owner.is_gone(name)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert owner.is_gone(name)
