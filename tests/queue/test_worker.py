"""A worker with real threads. Waiting is on events that handlers set, never for a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from doce.clock import ManualClock, SystemClock
from doce.db.connection import database
from doce.errors import Conflict, Unavailable
from doce.events import log as events
from doce.queue import bell, jobs, model
from doce.queue.context import JobContext
from doce.queue.enqueue import enqueue
from doce.queue.interrupts import Cancelled, LostLease, Permanent
from doce.queue.registry import Handler
from doce.queue.storage import JobStorage
from doce.queue.types import Job, JobState, OpencodeSendUserPrompt, OpencodeSessionCreate
from doce.queue.worker import Upkeep, Worker

CREATE = OpencodeSessionCreate.type
SEND = OpencodeSendUserPrompt.type
PATIENCE_S = 10

Start = Callable[..., Worker]


def until(job_id: int, *states: JobState) -> Job:
    """The job once it is in one of `states`; woken by the same bell that workers are."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        seen = bell.work.count
        job = jobs.get(job_id)
        if job.state in states:
            return job
        bell.work.wait(seen, 0.02)
    raise AssertionError(f"still {jobs.get(job_id)}")


def ask(project: str = "p", **options: int) -> Job:
    return enqueue(OpencodeSessionCreate(project_id=project), **options).job  # type: ignore[arg-type]


def test_a_job_runs_and_its_payload_arrives(start_worker: Start) -> None:
    got = []
    start_worker({CREATE: Handler(lambda context, payload: got.append((context.job.state, payload)))})
    job = until(ask("p7").id, JobState.SUCCEEDED)
    assert got == [(JobState.RUNNING, OpencodeSessionCreate(project_id="p7"))]
    assert (job.locked_by, job.lease_expires_at, job.attempts) == (None, None, 1)


def test_a_chain_runs_in_order_though_the_project_has_one_slot(start_worker: Start) -> None:
    ran = []

    def create(context: JobContext, payload: OpencodeSessionCreate) -> None:
        ran.append("create")
        with context.finishing():
            enqueue(OpencodeSendUserPrompt(project_id=payload.project_id))

    start_worker({CREATE: Handler(create), SEND: Handler(lambda *_: ran.append("send"))})
    job = until(ask().id, JobState.SUCCEEDED)
    until(job.id + 1, JobState.SUCCEEDED)
    assert ran == ["create", "send"]


def test_an_error_is_kept_and_the_attempt_repeated(start_worker: Start, clock: ManualClock) -> None:
    seen = threading.Event()

    def run(context: JobContext, _: object) -> None:
        if context.job.attempts == 1:
            raise Unavailable("The engine is down.", hint="Start it.")
        seen.set()

    start_worker({CREATE: Handler(run)}, clock=clock)
    job = enqueue(OpencodeSessionCreate(project_id="p"), clock=clock).job
    deadline = time.monotonic() + PATIENCE_S
    while not jobs.get(job.id).last_error and time.monotonic() < deadline:
        bell.work.wait(bell.work.count, 0.01)
    waiting = jobs.get(job.id)
    assert (waiting.state, waiting.run_at - clock.now_ms()) == (JobState.QUEUED, 2000)
    assert waiting.last_error == "The engine is down. Start it."
    assert "Attempt 1 of 3 failed: The engine is down. Start it. Next try in 2 s." in [line.message for line in jobs.logs(job.id)]
    clock.advance(s=2)
    bell.work.ring()
    assert seen.wait(PATIENCE_S)
    assert until(job.id, JobState.SUCCEEDED).attempts == 2


@pytest.mark.parametrize("error", [Conflict("Taken."), Permanent("It cannot be.")])
def test_errors_that_trying_again_cannot_mend_fail_at_once(start_worker: Start, error: Exception) -> None:
    told = []

    def run(*_: object) -> None:
        raise error

    start_worker({CREATE: Handler(run, failed=lambda job, text: told.append((job.state, text)))})
    job = until(ask().id, JobState.FAILED)
    assert (job.attempts, job.last_error) == (1, str(error))
    assert told == [(JobState.FAILED, str(error))]


def test_a_bug_in_a_handler_is_a_short_clear_error(start_worker: Start) -> None:
    def run(*_: object) -> None:
        raise KeyError("x" * 5000)

    start_worker({CREATE: Handler(run)})
    job = until(ask(max_attempts=1).id, JobState.FAILED)
    assert job.last_error is not None
    assert job.last_error.startswith("KeyError: 'xxx")
    assert len(job.last_error) <= 500


def test_unknown_types_and_bad_payloads_fail_with_a_clear_error(start_worker: Start) -> None:
    told = []
    one, two = ask("a"), ask("b")
    database.execute_sql("UPDATE jobs SET type = 'project.fold' WHERE id = ?", (one.id,))
    database.execute_sql("UPDATE jobs SET payload = '{}' WHERE id = ?", (two.id,))
    start_worker({CREATE: Handler(lambda *_: told.append("ran"), failed=lambda job, _: told.append(job.id))})
    assert "no job type 'project.fold'" in (until(one.id, JobState.FAILED).last_error or "")
    assert "projectId" in (until(two.id, JobState.FAILED).last_error or "")
    assert told == [two.id]


def test_a_running_handler_hears_a_cancel_within_two_seconds(start_worker: Start) -> None:
    begun, told = threading.Event(), []

    def run(context: JobContext, _: object) -> None:
        begun.set()
        assert context.cancelled.wait(60)
        context.throw_if_cancel_requested()

    start_worker({CREATE: Handler(run, cancelled=lambda job: told.append(job.id))})
    job = ask()
    assert begun.wait(PATIENCE_S)
    asked = time.monotonic()
    jobs.cancel(job.id)
    until(job.id, JobState.CANCELLED)
    assert time.monotonic() - asked < 2
    assert told == [job.id]


def test_a_cancel_that_rings_no_bell_here_is_heard_within_two_seconds_too(start_worker: Start) -> None:
    """As from another process: only the row changes."""
    begun = threading.Event()

    def run(context: JobContext, _: object) -> None:
        begun.set()
        assert context.cancelled.wait(60)
        raise Cancelled

    start_worker({CREATE: Handler(run)})
    job = ask()
    assert begun.wait(PATIENCE_S)
    asked = time.monotonic()
    database.execute_sql("UPDATE jobs SET cancel_requested_at = 1 WHERE id = ?", (job.id,))
    until(job.id, JobState.CANCELLED)
    assert time.monotonic() - asked < 2


def test_a_cancel_beats_a_handler_that_does_not_look(start_worker: Start) -> None:
    begun, go = threading.Event(), threading.Event()

    def run(context: JobContext, _: object) -> None:
        begun.set()
        assert go.wait(PATIENCE_S)
        with context.finishing():
            enqueue(OpencodeSendUserPrompt(project_id="p"))

    start_worker({CREATE: Handler(run)})
    job = ask()
    assert begun.wait(PATIENCE_S)
    jobs.cancel(job.id)
    go.set()
    until(job.id, JobState.CANCELLED)
    assert len(jobs.list()) == 1


def test_a_job_that_polls_is_looked_at_until_it_is_done(start_worker: Start) -> None:
    looks = []

    def run(context: JobContext, _: object) -> None:
        looks.append(context.job.polls)
        if len(looks) < 5:
            context.reschedule(1)

    start_worker({CREATE: Handler(run)})
    job = until(ask().id, JobState.SUCCEEDED)
    assert looks == [0, 1, 2, 3, 4]
    assert job.attempts == 1
    assert [event.payload["state"] for event in events.after("p", 0)] == ["queued", "running", "succeeded"]


def test_two_jobs_of_a_project_never_run_together_and_those_of_others_do(start_worker: Start) -> None:
    lock, inside, worst, together = threading.Lock(), {}, {}, threading.Barrier(3)

    def run(context: JobContext, payload: OpencodeSessionCreate) -> None:
        project = payload.project_id
        with lock:
            inside[project] = inside.get(project, 0) + 1
            worst[project] = max(worst.get(project, 0), inside[project])
        if context.job.priority:
            together.wait(PATIENCE_S)  # passes only when three projects run at the same time
        with lock:
            inside[project] -= 1

    for project in "abc":
        for number in range(20):
            enqueue(OpencodeSessionCreate(project_id=project), dedupe_key=None, priority=0 if number else 1)
    last = [jobs.list(project_id=project, limit=1)[0].id for project in "abc"]
    start_worker({CREATE: Handler(run)}, workers=6)
    for job_id in last:
        until(job_id, JobState.SUCCEEDED)
    assert worst == {"a": 1, "b": 1, "c": 1}
    assert jobs.counts()[JobState.SUCCEEDED] == 60


def test_a_graceful_stop_waits_for_the_quick_and_gives_the_slow_back(start_worker: Start) -> None:
    begun, stopping, late = threading.Semaphore(0), threading.Event(), []

    def quick(context: JobContext, _: object) -> None:
        begun.release()
        assert stopping.wait(PATIENCE_S)

    over = threading.Event()

    def slow(context: JobContext, _: object) -> None:
        begun.release()
        over.wait(PATIENCE_S)
        try:
            context.throw_if_cancel_requested()
        except LostLease as error:
            late.append(error)
            raise

    worker = start_worker({CREATE: Handler(quick), SEND: Handler(slow)}, stop_grace_s=0.5)
    one = ask("a")
    two = enqueue(OpencodeSendUserPrompt(project_id="b")).job
    assert begun.acquire(timeout=PATIENCE_S)
    assert begun.acquire(timeout=PATIENCE_S)
    waiting = ask("c")
    stopping.set()
    worker.stop()
    assert jobs.get(one.id).state is JobState.SUCCEEDED
    given_back = jobs.get(two.id)
    assert (given_back.state, given_back.attempts, given_back.last_error) == (JobState.QUEUED, 0, None)
    over.set()
    for thread in threading.enumerate():
        if thread.name.startswith("Worker-"):
            thread.join(PATIENCE_S)
    assert len(late) == 1
    assert jobs.get(two.id) == given_back
    assert jobs.get(waiting.id).state in (JobState.QUEUED, JobState.SUCCEEDED)


def test_no_job_is_claimed_after_a_stop(start_worker: Start) -> None:
    worker = start_worker({CREATE: Handler(lambda *_: None)})
    until(ask().id, JobState.SUCCEEDED)
    worker.stop()
    job = ask()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("Worker-")] == []
    assert jobs.get(job.id).state is JobState.QUEUED
    worker.stop()


def test_concurrency_changes_at_once_up_and_down(start_worker: Start) -> None:
    lock, running, most = threading.Lock(), [0], [0]
    full, gate = threading.Semaphore(0), threading.Semaphore(0)

    def run(*_: object) -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        full.release()
        assert gate.acquire(timeout=PATIENCE_S)
        with lock:
            running[0] -= 1

    worker = start_worker({CREATE: Handler(run)}, workers=1)
    ids = [ask(f"p{n}").id for n in range(9)]
    assert full.acquire(timeout=PATIENCE_S)
    worker.set_concurrency(4)
    for _ in range(3):
        assert full.acquire(timeout=PATIENCE_S)
    assert (worker.concurrency, most[0], jobs.counts()[JobState.RUNNING]) == (4, 4, 4)
    jobs.set_concurrency(2)  # as another process would
    deadline = time.monotonic() + PATIENCE_S
    while worker.concurrency != 2 and time.monotonic() < deadline:
        bell.control.wait(bell.control.count, 0.02)
    most[0] = 0
    gate.release(4)
    for _ in range(2):
        assert full.acquire(timeout=PATIENCE_S)
    with lock:
        assert running[0] <= 2
    most[0] = running[0]
    gate.release(20)
    for job_id in ids:
        until(job_id, JobState.SUCCEEDED)
    assert most[0] <= 2


def test_a_slot_that_becomes_free_is_heard_by_the_thread_that_waits_for_it(start_worker: Start) -> None:
    """Fewer jobs at a time than threads, and no poll that would find out by itself."""
    worker = start_worker({CREATE: Handler(lambda *_: None)}, workers=3, poll_ms=600_000)
    worker.set_concurrency(1)
    for job in [ask(f"p{number}") for number in range(30)]:
        until(job.id, JobState.SUCCEEDED)


def test_a_job_taken_along_needs_an_open_storage_and_a_free_slot(clock: ManualClock) -> None:
    enqueue(OpencodeSessionCreate(project_id="p"), clock=clock)
    storage = JobStorage(clock=clock, lease_ms=60_000, poll_ms=50, limit=0)
    enqueue(OpencodeSessionCreate(project_id="q"), clock=clock)
    first = storage.claim()
    assert first is not None
    storage.keep(first)
    assert storage.claim_along() is None
    storage.set_limit(1)
    storage.close()
    assert storage.claim_along() is None
    assert storage.dequeue() is None
    assert jobs.counts()[JobState.QUEUED] == 1


def test_resume_wakes_an_idle_worker(start_worker: Start) -> None:
    ran = threading.Event()
    jobs.pause()
    start_worker({CREATE: Handler(lambda *_: ran.set())}, poll_ms=600_000)
    ask()
    jobs.resume()
    assert ran.wait(PATIENCE_S)


def test_the_heartbeat_renews_the_lease_of_a_handler_that_takes_its_time(start_worker: Start) -> None:
    begun, go = threading.Event(), threading.Event()

    def run(*_: object) -> None:
        begun.set()
        assert go.wait(PATIENCE_S)

    start_worker({CREATE: Handler(run)}, heartbeat_s=0.02)
    job = ask()
    assert begun.wait(PATIENCE_S)
    first = jobs.get(job.id).lease_expires_at or 0
    deadline = time.monotonic() + PATIENCE_S
    while (jobs.get(job.id).lease_expires_at or 0) <= first and time.monotonic() < deadline:
        bell.control.wait(bell.control.count, 0.01)
    assert (jobs.get(job.id).lease_expires_at or 0) > first
    go.set()
    until(job.id, JobState.SUCCEEDED)


def test_a_handler_that_breaks_after_finishing_has_succeeded_all_the_same(start_worker: Start) -> None:
    def run(context: JobContext, _: object) -> None:
        with context.finishing():
            pass
        raise ZeroDivisionError

    start_worker({CREATE: Handler(run)})
    job = until(ask().id, JobState.SUCCEEDED)
    assert until(ask().id, JobState.SUCCEEDED).last_error is None
    assert jobs.get(job.id) == job


def test_finishing_inside_another_transaction_is_refused() -> None:
    job = ask()
    with database.atomic(), pytest.raises(RuntimeError), JobContext(job, SystemClock()).finishing():
        pass


def test_after_a_sleep_of_the_machine_leases_get_time_to_be_renewed(clock: ManualClock) -> None:
    ask()
    database.execute_sql("UPDATE jobs SET run_at = 0")
    job = model.claim("elsewhere:1:1:1", clock=clock, lease_ms=60_000)
    assert job is not None
    upkeep = Upkeep(clock, heartbeat_s=5, history_ms=1)
    upkeep.tick()
    clock.advance(s=3600)
    upkeep.tick()
    assert jobs.get(job.id).state is JobState.RUNNING
    for _ in range(3):
        clock.advance(s=5)
        upkeep.tick()
    assert jobs.get(job.id).state is JobState.QUEUED


def test_upkeep_purges_by_the_hour(clock: ManualClock) -> None:
    upkeep = Upkeep(clock, heartbeat_s=5, history_ms=1000)
    upkeep.tick()
    job = enqueue(OpencodeSessionCreate(project_id="p"), clock=clock).job
    jobs.cancel(job.id, clock=clock)
    clock.advance(s=3599)
    upkeep.tick()
    assert len(jobs.list()) == 1
    clock.advance(s=1)
    upkeep.tick()
    assert jobs.list() == ()
