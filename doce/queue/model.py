"""The life of a job in SQL: claim, finish, fail, reschedule, heartbeat, sweep, release.

Rules that hold whoever calls: a state changes only along `TRANSITIONS`; every change appends its event, and calls the
handler's `failed` or `cancelled`, in its own transaction; what a worker changes is fenced by `locked_by`, which is unique to
one claim, so a worker that lost its lease changes nothing.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from doce.clock import Clock
from doce.db.connection import database
from doce.errors import Conflict
from doce.events import log as events
from doce.events.vocabulary import JobState as JobStateEvent
from doce.queue import bell, registry
from doce.queue.interrupts import Cancelled, LostLease
from doce.queue.types import TRANSITIONS, Job, JobState

logger = logging.getLogger(__name__)

COLUMNS = ", ".join(field.name for field in dataclasses.fields(Job))

FIRST_RETRY_MS = 2_000
LAST_RETRY_MS = 60_000

#: What a worker that vanished leaves as the error of its job.
WORKER_GONE = "The worker that ran this job ended before it was done."

#: The next job: highest priority, then longest due, then oldest; never a second one of a project, none while paused.
#: The index is named because the planner, left alone, sorts every job that is due.
_NEXT = """
    SELECT j.id FROM jobs j INDEXED BY job_ready
     WHERE j.state = 'queued' AND j.run_at <= ?
       AND NOT EXISTS (SELECT 1 FROM jobs r WHERE r.state = 'running' AND r.project_id = j.project_id)
       AND NOT EXISTS (SELECT 1 FROM instance_settings WHERE key = 'queue.paused' AND value = '1')
     ORDER BY j.priority DESC, j.run_at, j.id LIMIT 1
"""
_CLAIM = f"""
    UPDATE jobs SET state = 'running', attempts = attempts + 1, locked_by = ?, lease_expires_at = ?, updated_at = ?,
           started_at = coalesce(started_at, ?)
     WHERE id = ({_NEXT}) AND state = 'queued' RETURNING {COLUMNS}
"""


def select(where: str, *values: Any) -> list[Job]:
    """The jobs that match, `where` being SQL of this package and never of a caller from outside."""
    return [Job.of(row) for row in database.execute_sql(f"SELECT {COLUMNS} FROM jobs WHERE {where}", values).fetchall()]


def move(
    job_id: int,
    source: JobState,
    target: JobState,
    *,
    now: int,
    fence: str | None = None,
    unasked: bool = False,
    quiet: bool = False,
    **columns: Any,
) -> Job | None:
    """Take a job from `source` to `target`, setting `columns`; None when it is not there (any more), or not held by `fence`,
    or, with `unasked`, somebody asked it to end.

    `quiet` appends no event: for the looks of a job that polls, which would flood the log and tell nobody anything.
    """
    if target not in TRANSITIONS[source]:
        raise Conflict(f"A {source} job cannot become {target}.")
    changes = {"state": target.value, "updated_at": now, **columns}
    if source is JobState.RUNNING:
        changes |= {"locked_by": None, "lease_expires_at": None}
    if target.terminal:
        changes["finished_at"] = now
    assignments = ", ".join(f"{column} = ?" for column in changes)
    conditions = (" AND locked_by = ?" if fence else "") + (" AND cancel_requested_at IS NULL" if unasked else "")
    sql = f"UPDATE jobs SET {assignments} WHERE id = ? AND state = ?{conditions} RETURNING {COLUMNS}"
    values = (*changes.values(), job_id, source.value, *((fence,) if fence else ()))
    with _transaction():
        rows = database.execute_sql(sql, values).fetchall()
        if not rows:
            return None
        job = Job.of(rows[0])
        if not quiet:
            announce(job, now)
        _tell_handler(job)
        database.after_commit(bell.work.ring)
    return job


def _transaction() -> AbstractContextManager[Any]:
    """The transaction that is open, or one of its own. A savepoint in between would cost as much as the change."""
    return nullcontext() if database.transaction_depth() else database.atomic()


def announce(job: Job, now: int) -> None:
    """Append what `job` is now to the event log, in the caller's transaction."""
    error = job.last_error if job.state in (JobState.QUEUED, JobState.FAILED) else None
    payload = JobStateEvent(job_id=job.id, job_type=job.type, state=job.state.value, attempts=job.attempts, error=error)
    events.append(payload, project_id=job.project_id, at=now)


def _tell_handler(job: Job) -> None:
    """A job that ended badly: let its handler put rows right in this very transaction."""
    handler = registry.find(job.type)
    if handler is None or job.state not in (JobState.FAILED, JobState.CANCELLED):
        return
    try:
        with database.atomic():
            if job.state is JobState.FAILED and handler.failed:
                handler.failed(job, job.last_error or "")
            elif job.state is JobState.CANCELLED and handler.cancelled:
                handler.cancelled(job)
    except Exception:
        # Beside the critical path: a hook with a bug must not keep a dead job running for ever.
        logger.exception("what the handler wanted to put right after its job was not done", extra=job.log_context())


def claim(owner: str, *, clock: Clock, lease_ms: int, look: bool = True) -> Job | None:
    """Take the next job for `owner`, which must be new for each claim; None when there is nothing to do now.

    With `look` it looks first, which takes no lock: idle workers never stand in the way of a writer.
    """
    now = clock.now_ms()
    if look and database.execute_sql(_NEXT, (now,)).fetchone() is None:
        return None
    with _transaction():
        rows = database.execute_sql(_CLAIM, (owner, now + lease_ms, now, now, now)).fetchall()
        if not rows:
            return None
        job = Job.of(rows[0])
        if job.polls == 0:
            announce(job, now)
    return job


def next_run_at(now: int) -> int | None:
    """When the next job that is not due yet will be; epoch ms."""
    # Looks at every queued job; an index of its own would cost each enqueue and claim more than this costs an idle thread.
    sql = "SELECT min(run_at) FROM jobs INDEXED BY job_ready WHERE state = 'queued' AND run_at > ?"
    due = database.execute_sql(sql, (now,)).fetchone()[0]
    return None if due is None else int(due)


def held(job: Job) -> Job:
    """The row of a claimed job as it is now. Raises LostLease when the claim is no longer good."""
    rows = select("id = ? AND state = 'running' AND locked_by = ?", job.id, job.locked_by)
    if not rows:
        raise LostLease(f"Job {job.id} is no longer held by {job.locked_by}.")
    return rows[0]


def finish(job: Job, *, clock: Clock) -> Job:
    """Running → succeeded. Raises LostLease, or Cancelled when somebody asked for that before: a cancel that was accepted holds."""
    with _transaction():
        done = move(job.id, JobState.RUNNING, JobState.SUCCEEDED, now=clock.now_ms(), fence=job.locked_by, unasked=True)
        if done is None:
            held(job)
            raise Cancelled
    return done


def cancelled(job: Job, *, clock: Clock) -> Job:
    """Running → cancelled. Raises LostLease."""
    return _settled(job, JobState.CANCELLED, clock)


def fail(job: Job, error: str, *, permanent: bool, clock: Clock) -> Job:
    """Running → queued with back-off; failed when `permanent` or no attempt is left; cancelled when asked for. Raises LostLease."""
    with database.atomic():
        current = held(job)
        if current.cancel_requested_at is not None:
            return _settled(job, JobState.CANCELLED, clock, last_error=error)
        if permanent or current.attempts >= current.max_attempts:
            return _settled(job, JobState.FAILED, clock, last_error=error)
        return _settled(job, JobState.QUEUED, clock, last_error=error, run_at=clock.now_ms() + retry_delay_ms(current.attempts), **_AFRESH)


def reschedule(job: Job, delay_ms: int, *, clock: Clock) -> Job:
    """Running → queued, to be looked at again in `delay_ms`: no attempt, no error, no event. Raises LostLease."""
    with database.atomic():
        current = held(job)
        if current.cancel_requested_at is not None:
            return _settled(job, JobState.CANCELLED, clock)
        again = {"run_at": clock.now_ms() + delay_ms, "attempts": current.attempts - 1, "polls": current.polls + 1}
        return _settled(job, JobState.QUEUED, clock, quiet=True, **again)


#: Columns of a job whose next claim is a new beginning.
_AFRESH: dict[str, Any] = {"polls": 0, "started_at": None}


def _settled(job: Job, target: JobState, clock: Clock, **columns: Any) -> Job:
    settled = move(job.id, JobState.RUNNING, target, now=clock.now_ms(), fence=job.locked_by, **columns)
    if settled is None:
        raise LostLease(f"Job {job.id} is no longer held by {job.locked_by}.")
    return settled


def retry_delay_ms(attempts: int) -> int:
    """2 s after the first attempt, doubling, never more than a minute."""
    return min(FIRST_RETRY_MS << min(attempts - 1, 10), LAST_RETRY_MS)


def heartbeat(claims: Iterable[Job], *, clock: Clock, lease_ms: int) -> list[Job]:
    """Believe these claims alive for another `lease_ms`; returns those that are lost."""
    expires = clock.now_ms() + lease_ms
    sql = "UPDATE jobs SET lease_expires_at = ? WHERE id = ? AND state = 'running' AND locked_by = ?"
    with database.atomic():
        return [job for job in claims if database.execute_sql(sql, (expires, job.id, job.locked_by)).rowcount == 0]


def sweep(*, clock: Clock, is_gone: Callable[[str], bool], expired: bool = True) -> list[Job]:
    """Take running jobs from workers that are gone and, with `expired`, from those that gave no sign; returns what they became.

    They are queued again where they stood, or failed when their attempts are spent, or cancelled when that was asked for.
    """
    now = clock.now_ms()

    def void(job: Job) -> bool:
        return (expired and (job.lease_expires_at or 0) <= now) or is_gone(job.locked_by or "")

    return [swept for job in select("state = 'running'") if void(job) and (swept := _take_back(job, now))]


def _take_back(seen: Job, now: int) -> Job | None:
    with database.atomic():
        # Between the look and this transaction the worker may have given a sign.
        still = "id = ? AND state = 'running' AND locked_by = ? AND lease_expires_at IS ?"
        rows = select(still, seen.id, seen.locked_by, seen.lease_expires_at)
        if not rows:
            return None
        job, fence = rows[0], seen.locked_by
        if job.cancel_requested_at is not None:
            return move(job.id, JobState.RUNNING, JobState.CANCELLED, now=now, fence=fence)
        if job.attempts >= job.max_attempts:
            return move(job.id, JobState.RUNNING, JobState.FAILED, now=now, fence=fence, last_error=WORKER_GONE)
        return move(job.id, JobState.RUNNING, JobState.QUEUED, now=now, fence=fence, last_error=WORKER_GONE, **_AFRESH)


def release(claims: Iterable[Job], *, clock: Clock) -> list[Job]:
    """Give claims back as the last act of a worker that stops: queued where they stood, the attempt not counted."""
    released = []
    with database.atomic():
        for claimed in claims:
            try:
                job = held(claimed)
            except LostLease:
                continue
            if job.cancel_requested_at is not None:
                released.append(_settled(claimed, JobState.CANCELLED, clock))
            else:
                released.append(_settled(claimed, JobState.QUEUED, clock, attempts=job.attempts - 1, **_AFRESH))
    return released
