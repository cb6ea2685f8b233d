"""What people do with jobs: look, cancel, retry, run now, delete; pause the queue, set how many run at a time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from doce.clock import Clock, SystemClock
from doce.db.connection import database
from doce.errors import BadRequest, Conflict, NotFound
from doce.queue import bell, model
from doce.queue.enqueue import Enqueued, insert
from doce.queue.types import Job, JobState

_SYSTEM = SystemClock()

MAX_CONCURRENCY = 20
_PAUSED = "queue.paused"
_CONCURRENCY = "queue.concurrency"
_PURGE_BATCH = 500


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a job's log."""

    id: int
    job_id: int
    level: str
    message: str
    #: epoch ms
    at: int


def get(job_id: int) -> Job:
    """The job as it is now. Raises NotFound."""
    rows = model.select("id = ?", job_id)
    if not rows:
        raise NotFound(f"There is no job {job_id}.", hint="Finished jobs are removed after a while.")
    return rows[0]


def list(
    *,
    project_id: str | None = None,
    type: str | None = None,
    state: JobState | None = None,
    project_ids: Collection[str] | None = None,
    user_id: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> tuple[Job, ...]:
    """Newest first; the id of the last one is the next page's `before`.

    `project_ids` narrows to what a person may see: jobs of these projects, and with `user_id` also jobs of no project that are theirs.
    """
    wheres: dict[str, tuple[Any, ...]] = {}
    if project_id is not None:
        wheres["project_id = ?"] = (project_id,)
    if type is not None:
        wheres["type = ?"] = (type,)
    if state is not None:
        wheres["state = ?"] = (state.value,)
    if before is not None:
        wheres["id < ?"] = (before,)
    if project_ids is not None:
        marks = ", ".join("?" * len(project_ids))
        wheres[f"(project_id IN ({marks}) OR (project_id IS NULL AND user_id = ?))"] = (*project_ids, user_id)
    values = [value for group in wheres.values() for value in group]
    return tuple(model.select(f"{' AND '.join(wheres) or '1'} ORDER BY id DESC LIMIT ?", *values, limit))


def active(project_id: str) -> tuple[Job, ...]:
    """The queued and running jobs of a project, oldest first."""
    return tuple(model.select("project_id = ? AND state IN ('queued', 'running') ORDER BY id", project_id))


def logs(job_id: int, after: int = 0, limit: int = 1000) -> tuple[LogLine, ...]:
    """Lines of a job after line `after`, oldest first."""
    sql = "SELECT id, job_id, level, message, at FROM job_logs WHERE job_id = ? AND id > ? ORDER BY id LIMIT ?"
    return tuple(LogLine(*row) for row in database.execute_sql(sql, (job_id, after, limit)).fetchall())


def counts() -> dict[JobState, int]:
    """How many jobs there are in each state."""
    found = dict(database.execute_sql("SELECT state, count(*) FROM jobs GROUP BY state").fetchall())
    return {state: found.get(state.value, 0) for state in JobState}


def cancel(job_id: int, *, clock: Clock = _SYSTEM) -> Job:
    """A queued job is cancelled at once; a running one is asked to end, which a handler hears within a second.

    Raises NotFound, or Conflict for a job that has ended.
    """
    now = clock.now_ms()
    with database.atomic():
        job = get(job_id)
        if job.state.terminal:
            raise Conflict(f"Job {job_id} has already {'been cancelled' if job.state is JobState.CANCELLED else job.state.value}.")
        if job.state is JobState.QUEUED:
            return model.move(job_id, JobState.QUEUED, JobState.CANCELLED, now=now) or job
        if job.cancel_requested_at is not None:
            return job
        job = _change(job_id, "cancel_requested_at = ?", now, now=now)
        database.after_commit(bell.cancel.ring)
        return job


def cancel_project(project_id: str, *, but: int | None = None, clock: Clock = _SYSTEM) -> tuple[Job, ...]:
    """Cancel every active job of a project, except job `but` (the one that asks)."""
    with database.atomic():
        return tuple(cancel(job.id, clock=clock) for job in active(project_id) if job.id != but)


def retry(job_id: int, *, user_id: str | None = None, clock: Clock = _SYSTEM) -> Enqueued:
    """A new job like a failed or cancelled one. Raises NotFound, or Conflict for a job in any other state."""
    with database.atomic():
        job = get(job_id)
        if job.state not in (JobState.FAILED, JobState.CANCELLED):
            raise Conflict(f"Job {job_id} is {job.state}; only a failed or cancelled job can be tried again.")
        return insert(
            job.type, job.payload, project_id=job.project_id, user_id=user_id or job.user_id, delay_ms=0,
            priority=job.priority, max_attempts=job.max_attempts, dedupe_key=job.dedupe_key, clock=clock,
        )  # fmt: skip


def run_now(job_id: int, *, clock: Clock = _SYSTEM) -> Job:
    """End the wait of a queued job (a delay, a back-off). Raises NotFound, or Conflict for a job that is not queued."""
    now = clock.now_ms()
    with database.atomic():
        job = get(job_id)
        if job.state is not JobState.QUEUED:
            raise Conflict(f"Job {job_id} is {job.state}; only a queued job can be run now.")
        if job.run_at <= now:
            return job
        job = _change(job_id, "run_at = ?", now, now=now)
        database.after_commit(bell.work.ring)
        return job


def delete(job_id: int) -> None:
    """Remove a job that has ended, and its log. Raises NotFound, or Conflict for an active one."""
    with database.atomic():
        job = get(job_id)
        if not job.state.terminal:
            raise Conflict(f"Job {job_id} is {job.state}; it can be deleted when it has ended.", hint="Cancel it first.")
        database.execute_sql("DELETE FROM jobs WHERE id = ?", (job_id,))


def purge(older_than_ms: int, *, clock: Clock = _SYSTEM) -> int:
    """Remove jobs that ended more than `older_than_ms` ago, with their logs, in short transactions; returns how many."""
    sql = "SELECT id FROM jobs WHERE finished_at < ? ORDER BY id"
    old = [row[0] for row in database.execute_sql(sql, (clock.now_ms() - older_than_ms,)).fetchall()]
    for batch in (old[start : start + _PURGE_BATCH] for start in range(0, len(old), _PURGE_BATCH)):
        with database.atomic():
            database.execute_sql(f"DELETE FROM jobs WHERE id IN ({', '.join('?' * len(batch))})", batch)
    return len(old)


def pause() -> None:
    """No job is claimed by anybody until `resume`; running ones go on."""
    _set(_PAUSED, "1")


def resume() -> None:
    _set(_PAUSED, "0")


def paused() -> bool:
    return _get(_PAUSED) == "1"


def set_concurrency(jobs: int) -> None:
    """How many jobs each worker process runs at a time, from now on. Raises BadRequest unless 1-20."""
    if not 1 <= jobs <= MAX_CONCURRENCY:
        raise BadRequest(f"Concurrency is a number from 1 to {MAX_CONCURRENCY}, not {jobs}.")
    _set(_CONCURRENCY, str(jobs))


def concurrency() -> int | None:
    """What was set, None when nobody did and each process goes by its own settings."""
    value = _get(_CONCURRENCY)
    return None if value is None else int(value)


def _change(job_id: int, assignment: str, value: int, *, now: int) -> Job:
    """Change a column other than the state, and say so in the log."""
    sql = f"UPDATE jobs SET {assignment}, updated_at = ? WHERE id = ? RETURNING {model.COLUMNS}"
    job = Job.of(database.execute_sql(sql, (value, now, job_id)).fetchall()[0])
    model.announce(job, now)
    return job


def _get(key: str) -> str | None:
    row = database.execute_sql("SELECT value FROM instance_settings WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def _set(key: str, value: str) -> None:
    sql = "INSERT INTO instance_settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    with database.atomic():
        database.execute_sql(sql, (key, value))
        database.after_commit(bell.work.ring)
        database.after_commit(bell.control.ring)
