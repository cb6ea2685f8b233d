"""The jobs table as a Huey storage: taking from it is a claim, putting into it is a ring of the bell."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable
from typing import Any

from huey.constants import EmptyData
from huey.storage import BaseStorage

from doce.clock import Clock
from doce.db.connection import database
from doce.queue import bell, model, owner
from doce.queue.types import Job
from doce.testing import faults


class JobStorage(BaseStorage):  # type: ignore[misc]
    """What Huey's worker threads take jobs from.

    One thread at a time looks for work; the others stand in line behind it. So an idle worker costs one small read every
    `poll_ms` however many threads it has, a ring wakes one thread and not all, and claims do not fight over SQLite's lock.
    """

    blocking = True

    def __init__(self, *, clock: Clock, lease_ms: int, poll_ms: int, limit: int) -> None:
        super().__init__("doce")
        self._clock = clock
        self._lease_ms = lease_ms
        self._poll_s = poll_ms / 1000
        self._limit = limit
        self._turn = threading.Lock()
        self._along = threading.local()
        self._claims: dict[int, Job] = {}
        self._numbers = itertools.count(1)
        self._closed = False
        #: A thread found nothing to do and waits for the bell.
        self._idle = False

    def dequeue(self) -> Job | None:
        """Wait for a job and claim it; None once the storage is closed."""
        if job := self._take_along():
            return job
        if not self._turn.acquire(blocking=False):
            # This thread may just have ended the job that another one of the same project waits for: whoever looks, look again.
            bell.work.ring()
            self._turn.acquire()
        try:
            rang = False
            while not self._closed:
                seen = bell.work.count
                if len(self._claims) < self._limit and (job := self.claim(look=not rang)):
                    self.keep(job)
                    return job
                self._idle = True
                rang = bell.work.wait(seen, self._patience_s())
                self._idle = False
            return None
        finally:
            self._idle = False
            self._turn.release()

    def claim(self, *, look: bool = False) -> Job | None:
        """Take the next job, in the open transaction if there is one; `keep` it when that is committed.

        Whoever was woken by the bell need not `look` first: most likely there is one.
        """
        faults.point("queue.claim")
        return model.claim(owner.name(str(next(self._numbers))), clock=self._clock, lease_ms=self._lease_ms, look=look)

    def claim_along(self) -> Job | None:
        """As `claim`, in the transaction that finishes this thread's job: one commit instead of two when the queue is long.

        Only while every thread is busy: an idle one would begin it sooner.
        """
        if self._closed or self._idle or len(self._claims) > self._limit:
            return None
        return self.claim()

    def keep(self, job: Job, *, along: bool = False) -> None:
        """`job` is ours: its lease is renewed from now on. With `along`, this thread is given it when it asks next."""
        self._claims[job.id] = job
        if along:
            self._along.job = job

    def _take_along(self) -> Job | None:
        job: Job | None = getattr(self._along, "job", None)
        self._along.job = None
        return job

    def _patience_s(self) -> float:
        """Until the next delayed job is due, at most one poll: other processes enqueue without ringing here."""
        now = self._clock.now_ms()
        due = model.next_run_at(now)
        return self._poll_s if due is None else min(self._poll_s, (due - now) / 1000)

    def done(self, job: Job) -> None:
        """The thread that ran `job` is free again."""
        self._claims.pop(job.id, None)

    def claims(self) -> Iterable[Job]:
        """The jobs that this process runs now."""
        return tuple(self._claims.copy().values())

    def has(self, job: Job) -> bool:
        """Whether this very claim is still being worked on."""
        return self._claims.get(job.id) is job

    def set_limit(self, limit: int) -> None:
        """Run at most this many jobs at a time; those above it end as they would have."""
        self._limit = limit
        bell.work.ring()

    @property
    def limit(self) -> int:
        return self._limit

    def close(self) -> None:
        """No claim after this one."""
        self._closed = True
        bell.work.ring()

    def enqueue(self, data: Any, priority: float | None = None) -> None:
        """The row is there already; wake whoever waits for it once it is committed."""
        database.after_commit(bell.work.ring)

    # What else Huey's executor asks of a storage: revocation keys and a schedule, which the table makes needless.

    def peek_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        return {}

    def pop_data(self, key: str) -> Any:
        return EmptyData

    def read_schedule(self, ts: Any) -> list[bytes]:
        return []
