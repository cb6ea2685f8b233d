"""Ask for work. Joins the caller's transaction, so a row and its job are both there or neither is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from doce.clock import Clock, SystemClock
from doce.db.connection import database
from doce.queue import bell, model
from doce.queue.types import Job, JobPayload, ProjectPayload, ProjectsDeleteAllForUser
from doce.testing import faults

_SYSTEM = SystemClock()


class _Default(Enum):
    """The dedupe key that the payload itself has."""

    KEY = 0


DEFAULT: Final = _Default.KEY


@dataclass(frozen=True)
class Enqueued:
    """What came of asking."""

    #: The new job, or the active one with the same key.
    job: Job
    #: It was there already; nothing was added.
    existing: bool


def enqueue(
    payload: JobPayload,
    *,
    project_id: str | None = None,
    user_id: str | None = None,
    delay_ms: int = 0,
    priority: int = 0,
    max_attempts: int = 3,
    dedupe_key: str | _Default | None = DEFAULT,
    clock: Clock = _SYSTEM,
) -> Enqueued:
    """Queue a job of `payload`'s type, in the caller's transaction or one of its own.

    `project_id` and `user_id` default to those of the payload; `dedupe_key` to ``type:projectId`` (None: never the same).
    The worker is woken after the commit, and not at all after a rollback.
    """
    key = payload.dedupe_key() if isinstance(dedupe_key, _Default) else dedupe_key
    if isinstance(payload, ProjectPayload):
        project_id = project_id or payload.project_id
    if isinstance(payload, ProjectsDeleteAllForUser):
        user_id = user_id or payload.user_id
    return insert(
        payload.type.value, payload.wire(), project_id=project_id, user_id=user_id, delay_ms=delay_ms,
        priority=priority, max_attempts=max_attempts, dedupe_key=key, clock=clock,
    )  # fmt: skip


_INSERT = f"""
    INSERT INTO jobs (type, state, project_id, user_id, payload, priority, max_attempts, run_at, dedupe_key, created_at, updated_at)
    VALUES (?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (dedupe_key) WHERE state IN ('queued', 'running') DO NOTHING RETURNING {model.COLUMNS}
"""


def insert(
    type_: str, payload: str, *, project_id: str | None, user_id: str | None, delay_ms: int,
    priority: int, max_attempts: int, dedupe_key: str | None, clock: Clock,
) -> Enqueued:  # fmt: skip
    """Queue a job from what a row holds: `payload` is JSON, not looked at until it runs."""
    now = clock.now_ms()
    with database.atomic():
        row = (type_, project_id, user_id, payload, priority, max_attempts, now + delay_ms, dedupe_key, now, now)
        rows = database.execute_sql(_INSERT, row).fetchall()
        if not rows:
            return Enqueued(model.select("dedupe_key = ? AND state IN ('queued', 'running')", dedupe_key)[0], existing=True)
        job = Job.of(rows[0])
        model.announce(job, now)
        faults.point("queue.enqueued")
        database.after_commit(bell.work.ring)
    return Enqueued(job, existing=False)
