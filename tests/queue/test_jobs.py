"""What people do with jobs."""

from __future__ import annotations

import pytest

from doce.clock import ManualClock
from doce.db.connection import database
from doce.errors import BadRequest, Conflict, NotFound
from doce.queue import jobs, model
from doce.queue.context import JobContext
from doce.queue.enqueue import enqueue
from doce.queue.types import JobState, OpencodeSendUserPrompt, OpencodeSessionCreate, ProjectsDeleteAllForUser

DAY_MS = 86_400_000


def test_the_list_is_newest_first_and_pages_by_id(clock: ManualClock) -> None:
    ids = [enqueue(OpencodeSessionCreate(project_id=f"p{n}"), clock=clock).job.id for n in range(5)]
    first = jobs.list(limit=2)
    assert [job.id for job in first] == ids[:2:-1]
    assert [job.id for job in jobs.list(before=first[-1].id, limit=9)] == ids[2::-1]


def test_the_list_is_narrowed(clock: ManualClock) -> None:
    a = enqueue(OpencodeSessionCreate(project_id="a"), clock=clock).job.id
    b = enqueue(OpencodeSendUserPrompt(project_id="b"), clock=clock).job.id
    mine = enqueue(ProjectsDeleteAllForUser(user_id="me"), clock=clock).job.id
    enqueue(ProjectsDeleteAllForUser(user_id="you"), clock=clock)
    jobs.cancel(a, clock=clock)
    assert [job.id for job in jobs.list(project_id="a")] == [a]
    assert [job.id for job in jobs.list(type="opencode.sendUserPrompt")] == [b]
    assert [job.id for job in jobs.list(state=JobState.CANCELLED)] == [a]
    assert [job.id for job in jobs.list(project_ids=["a", "b"], user_id="me")] == [mine, b, a]
    assert jobs.list(project_ids=[]) == ()
    assert jobs.counts() == {"queued": 3, "running": 0, "succeeded": 0, "failed": 0, "cancelled": 1}


def test_retry_is_a_new_job_and_only_of_one_that_ended_badly(clock: ManualClock) -> None:
    job = enqueue(OpencodeSessionCreate(project_id="p"), user_id="u", priority=3, clock=clock).job
    with pytest.raises(Conflict):
        jobs.retry(job.id)
    jobs.cancel(job.id, clock=clock)
    again = jobs.retry(job.id, clock=clock)
    assert not again.existing
    assert (again.job.id, again.job.payload, again.job.user_id, again.job.priority) == (job.id + 1, job.payload, "u", 3)
    assert jobs.retry(job.id, clock=clock).existing
    running = model.claim("w", clock=clock, lease_ms=1000)
    assert running is not None
    model.finish(running, clock=clock)
    with pytest.raises(Conflict):
        jobs.retry(running.id)


def test_run_now_ends_a_wait(clock: ManualClock) -> None:
    job = enqueue(OpencodeSessionCreate(project_id="p"), delay_ms=60_000, clock=clock).job
    assert model.claim("w", clock=clock, lease_ms=1000) is None
    assert jobs.run_now(job.id, clock=clock).run_at == clock.now_ms()
    assert model.claim("w", clock=clock, lease_ms=1000) is not None
    with pytest.raises(Conflict):
        jobs.run_now(job.id, clock=clock)


def test_only_ended_jobs_are_deleted_with_their_log(clock: ManualClock) -> None:
    job = enqueue(OpencodeSessionCreate(project_id="p"), clock=clock).job
    JobContext(job, clock).log("a line")
    with pytest.raises(Conflict):
        jobs.delete(job.id)
    jobs.cancel(job.id, clock=clock)
    jobs.delete(job.id)
    with pytest.raises(NotFound):
        jobs.get(job.id)
    assert jobs.logs(job.id) == ()


def test_log_lines_come_in_order_after_a_cursor_with_secrets_masked(clock: ManualClock) -> None:
    job = enqueue(OpencodeSessionCreate(project_id="p"), clock=clock).job
    context = JobContext(job, clock)
    context.log("one")
    context.log("sent with Bearer abcdefghijklmnop", level="warning")
    lines = jobs.logs(job.id)
    assert [(line.level, line.message) for line in lines] == [("info", "one"), ("warning", "sent with Bearer ***")]
    assert jobs.logs(job.id, after=lines[0].id) == lines[1:]


def test_cancel_of_an_ended_job_is_a_conflict_and_of_none_not_found(clock: ManualClock) -> None:
    job = enqueue(OpencodeSessionCreate(project_id="p"), clock=clock).job
    jobs.cancel(job.id, clock=clock)
    with pytest.raises(Conflict, match="already been cancelled"):
        jobs.cancel(job.id, clock=clock)
    with pytest.raises(NotFound):
        jobs.cancel(99)


def test_a_project_is_cancelled_but_for_the_job_that_asks(clock: ManualClock) -> None:
    running = enqueue(OpencodeSessionCreate(project_id="p"), clock=clock).job
    model.claim("w", clock=clock, lease_ms=1000)
    queued = enqueue(OpencodeSendUserPrompt(project_id="p"), clock=clock).job
    asks = enqueue(OpencodeSendUserPrompt(project_id="p"), dedupe_key=None, clock=clock).job
    other = enqueue(OpencodeSendUserPrompt(project_id="q"), clock=clock).job
    jobs.cancel_project("p", but=asks.id, clock=clock)
    assert jobs.get(running.id).cancel_requested_at == clock.now_ms()
    assert [jobs.get(job.id).state for job in (queued, asks, other)] == ["cancelled", "queued", "queued"]


def test_purge_removes_what_ended_long_ago_and_nothing_else(clock: ManualClock) -> None:
    old = [enqueue(OpencodeSessionCreate(project_id=f"p{n}"), clock=clock).job.id for n in range(1200)]
    with database.atomic():
        for job_id in old:
            jobs.cancel(job_id, clock=clock)
    JobContext(jobs.get(old[0]), clock).log("a line")
    waiting = enqueue(OpencodeSessionCreate(project_id="waits"), clock=clock).job
    clock.advance(ms=7 * DAY_MS)
    fresh = enqueue(OpencodeSessionCreate(project_id="fresh"), clock=clock).job
    jobs.cancel(fresh.id, clock=clock)
    assert jobs.purge(7 * DAY_MS, clock=clock) == 0
    clock.advance(ms=1)
    assert jobs.purge(7 * DAY_MS, clock=clock) == 1200
    assert [job.id for job in jobs.list()] == [fresh.id, waiting.id]
    assert jobs.logs(old[0]) == ()


@pytest.mark.parametrize("wrong", [0, 21, -1])
def test_concurrency_is_1_to_20(wrong: int) -> None:
    assert jobs.concurrency() is None
    with pytest.raises(BadRequest):
        jobs.set_concurrency(wrong)
    jobs.set_concurrency(20)
    assert jobs.concurrency() == 20
