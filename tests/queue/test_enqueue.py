"""Asking for work: with the caller's transaction, once while active, in order."""

from __future__ import annotations

import pytest

from doce.clock import ManualClock
from doce.db.connection import database
from doce.events import log as events
from doce.queue import bell, jobs, model
from doce.queue.enqueue import enqueue
from doce.queue.types import JobState, OpencodeSendUserPrompt, OpencodeSessionCreate, ProjectsDeleteAllForUser
from doce.testing import faults

LEASE_MS = 60_000


def test_a_rollback_of_the_caller_leaves_no_job_no_event_and_rings_nothing() -> None:
    rings = bell.work.count
    with pytest.raises(ZeroDivisionError), database.atomic():
        enqueue(OpencodeSessionCreate(project_id="p"))
        raise ZeroDivisionError
    assert jobs.list() == ()
    assert events.after(None, 0) == []
    assert bell.work.count == rings


def test_the_bell_rings_after_the_callers_commit_and_not_before() -> None:
    rings = bell.work.count
    with database.atomic():
        enqueue(OpencodeSessionCreate(project_id="p"))
        assert bell.work.count == rings
    assert bell.work.count > rings


def test_a_fault_inside_the_transaction_leaves_nothing() -> None:
    faults.configure("queue.enqueued=raise")
    with pytest.raises(faults.FaultRaised):
        enqueue(OpencodeSessionCreate(project_id="p"))
    assert jobs.list() == ()
    assert events.after(None, 0) == []


def test_the_same_work_is_asked_for_once_while_queued_and_while_running(clock: ManualClock) -> None:
    first = enqueue(OpencodeSessionCreate(project_id="p"), clock=clock)
    again = enqueue(OpencodeSessionCreate(project_id="p"), clock=clock)
    assert (first.existing, again.existing, again.job.id) == (False, True, first.job.id)
    running = model.claim("w1", clock=clock, lease_ms=LEASE_MS)
    assert running is not None
    assert enqueue(OpencodeSessionCreate(project_id="p"), clock=clock).job.state is JobState.RUNNING
    model.finish(running, clock=clock)
    later = enqueue(OpencodeSessionCreate(project_id="p"), clock=clock)
    assert not later.existing
    assert later.job.id > first.job.id


def test_other_work_and_other_projects_have_other_keys() -> None:
    asked = [
        enqueue(OpencodeSessionCreate(project_id="p")),
        enqueue(OpencodeSendUserPrompt(project_id="p")),
        enqueue(OpencodeSessionCreate(project_id="q")),
        enqueue(OpencodeSessionCreate(project_id="p"), dedupe_key=None),
        enqueue(OpencodeSessionCreate(project_id="p"), dedupe_key=None),
        enqueue(OpencodeSessionCreate(project_id="p"), dedupe_key="mine"),
    ]
    assert not any(one.existing for one in asked)


def test_deleting_all_of_a_user_is_about_the_user() -> None:
    job = enqueue(ProjectsDeleteAllForUser(user_id="u")).job
    assert (job.dedupe_key, job.project_id, job.user_id) == ("projects.deleteAllForUser:u", None, "u")


@pytest.mark.parametrize("end", ["succeeded", "failed", "cancelled"])
def test_every_terminal_state_frees_the_key(end: str, clock: ManualClock) -> None:
    enqueue(OpencodeSessionCreate(project_id="p"), clock=clock, max_attempts=1)
    job = model.claim("w1", clock=clock, lease_ms=LEASE_MS)
    assert job is not None
    if end == "succeeded":
        model.finish(job, clock=clock)
    elif end == "failed":
        model.fail(job, "no", permanent=False, clock=clock)
    else:
        model.cancelled(job, clock=clock)
    assert jobs.get(job.id).state == end
    assert not enqueue(OpencodeSessionCreate(project_id="p"), clock=clock).existing


def test_order_is_priority_then_time_due_then_age(clock: ManualClock) -> None:
    def ask(project: str, *, delay_ms: int = 0, priority: int = 0) -> None:
        enqueue(OpencodeSessionCreate(project_id=project), delay_ms=delay_ms, priority=priority, clock=clock)

    ask("late", delay_ms=500)
    ask("first")
    ask("second")
    ask("urgent", priority=5)
    ask("future", delay_ms=10_000, priority=9)
    clock.advance(s=1)
    taken = []
    while job := model.claim(f"w{len(taken)}", clock=clock, lease_ms=LEASE_MS):
        taken.append(job.project_id)
    assert taken == ["urgent", "first", "second", "late"]
    assert model.next_run_at(clock.now_ms()) == clock.now_ms() + 9_000


def test_jobs_of_one_project_run_first_in_first_out(clock: ManualClock) -> None:
    ids = [enqueue(OpencodeSessionCreate(project_id="p"), dedupe_key=None, clock=clock).job.id for _ in range(20)]
    taken = []
    while job := model.claim(f"w{len(taken)}", clock=clock, lease_ms=LEASE_MS):
        assert model.claim("other", clock=clock, lease_ms=LEASE_MS) is None
        taken.append(job.id)
        model.finish(job, clock=clock)
    assert taken == ids
