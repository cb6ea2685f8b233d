"""What a handler is given beside its payload: the job, its log, its ways to end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn, Protocol

from doce.clock import Clock
from doce.db.connection import database
from doce.events import log as events
from doce.logger import mask
from doce.queue import bell, model
from doce.queue.interrupts import Cancelled, LostLease, Rescheduled
from doce.queue.types import Job
from doce.testing import faults

#: How late a cancel from another process is heard by a handler that waits.
_LISTEN_S = 0.5


class Cancellation:
    """Whether a running job should end, asked of its row: the cancel may come from another process."""

    def __init__(self, job: Job, clock: Clock) -> None:
        self._job = job
        self._clock = clock

    def is_set(self) -> bool:
        """A cancel was asked for, or the lease is lost."""
        try:
            return model.held(self._job).cancel_requested_at is not None
        except LostLease:
            return True

    def wait(self, seconds: float) -> bool:
        """As Event.wait: True as soon as the job should end, False after `seconds`."""
        end = self._clock.monotonic() + seconds
        while True:
            seen = bell.cancel.count
            if self.is_set():
                return True
            left = end - self._clock.monotonic()
            if left <= 0:
                return False
            bell.cancel.wait(seen, min(left, _LISTEN_S))


class NextClaim(Protocol):
    """Whoever may take the next job in the transaction that finishes this one; see `JobStorage`."""

    def claim_along(self) -> Job | None: ...

    def keep(self, job: Job, *, along: bool = False) -> None: ...


class JobContext:
    """One claim of one job, in the hands of its handler."""

    def __init__(self, job: Job, clock: Clock, take_next: NextClaim | None = None) -> None:
        self.job = job
        #: Wait on this instead of sleeping.
        self.cancelled = Cancellation(job, clock)
        #: The job is marked succeeded and committed.
        self.finished = False
        self._clock = clock
        self._take_next = take_next

    def log(self, message: str, level: str = "info") -> None:
        """A line for the people who look at this job; committed at once unless the handler has a transaction open."""
        write_log(self.job.id, message, level=level, at=self._clock.now_ms())

    def throw_if_cancel_requested(self) -> None:
        """Raise Cancelled if somebody asked for it, LostLease if the job is no longer ours. One look at one row: call it often."""
        if model.held(self.job).cancel_requested_at is not None:
            raise Cancelled

    @contextmanager
    def finishing(self) -> Iterator[None]:
        """One transaction: the job succeeds, the body changes rows and enqueues what comes next (its own type, too).

        Raises LostLease or Cancelled before the body begins; then, and when the body raises, nothing is kept.
        """
        if database.transaction_depth():
            raise RuntimeError("finishing() opens the transaction itself: a surrounding one could still be rolled back.")
        faults.point("queue.worked")
        with database.atomic():
            model.finish(self.job, clock=self._clock)
            yield
            faults.point("queue.finish")
            following = self._take_next.claim_along() if self._take_next else None
        self.finished = True
        if self._take_next and following:
            self._take_next.keep(following, along=True)
        faults.point("queue.finished")

    def reschedule(self, delay_ms: int) -> NoReturn:
        """End this look; the handler is called again in `delay_ms`. `job.polls` counts them. Give up by the clock, not by counting."""
        raise Rescheduled(delay_ms)


def write_log(job_id: int, message: str, *, level: str, at: int) -> None:
    """Append a line to the log of a job, secrets masked."""
    with database.atomic():
        database.execute_sql("INSERT INTO job_logs (job_id, level, message, at) VALUES (?, ?, ?, ?)", (job_id, level, mask(message), at))
        # Whoever follows the job looks again; no event of its own, a build writes thousands of lines.
        database.after_commit(events.bell.ring)
