"""The worker: Huey's threads running our handlers, inside `doce serve` or as `doce worker`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

from huey import Huey
from huey.consumer import Consumer, Scheduler
from huey.registry import Message

from doce.clock import Clock, SystemClock
from doce.db.connection import database
from doce.errors import DoceError, Unavailable
from doce.logger import log_context, mask
from doce.queue import bell, jobs, model, owner, registry
from doce.queue.context import JobContext, write_log
from doce.queue.interrupts import FINAL, Cancelled, LostLease, Rescheduled
from doce.queue.registry import Handler
from doce.queue.storage import JobStorage
from doce.queue.types import Job, JobState, understand
from doce.testing import faults

logger = logging.getLogger(__name__)

_SYSTEM = SystemClock()

DAY_MS = 86_400_000
_TICK_S = 1.0
_HEALTH_S = 10.0
_PURGE_S = 3600.0
#: A longer gap between two ticks means that the machine slept or its clock was set: every lease looks stale, none is.
_SUSPENDED_MS = 30_000


class Worker:
    """Takes jobs and runs them, up to `workers` at a time."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        *,
        workers: int = 4,
        clock: Clock = _SYSTEM,
        lease_s: float = 60,
        heartbeat_s: float = 5,
        stop_grace_s: float = 8,
        poll_ms: int | None = None,
        history_days: int = 7,
    ) -> None:
        """`poll_ms` is how often it looks for jobs that other processes queued: 250 embedded; `doce worker` passes 50."""
        registry.install(handlers)
        self._clock = clock
        self._lease_ms = round(lease_s * 1000)
        self._heartbeat_s = heartbeat_s
        self._own_limit = workers
        self._storage = JobStorage(clock=clock, lease_ms=self._lease_ms, poll_ms=poll_ms or 250, limit=workers)
        self._upkeep = Upkeep(clock, heartbeat_s=heartbeat_s, history_ms=history_days * DAY_MS)
        self._consumer = _Consumer(_Queue(self._storage, self._run), self._tick, workers=workers, stop_grace_s=stop_grace_s)
        self._beating = threading.Thread(target=self._beat, name="doce-heartbeat", daemon=True)
        self._stopped = threading.Event()

    @property
    def concurrency(self) -> int:
        """How many jobs it runs at a time now."""
        return self._storage.limit

    def start(self) -> None:
        """Take back what dead workers of this machine left, then begin to claim. Returns at once."""
        self._upkeep.sweep(expired=False)
        self._follow_concurrency()
        self._beating.start()
        self._consumer.start()

    def stop(self) -> None:
        """Claim no more, give running handlers the grace, then hand the rest back to the queue."""
        if self._stopped.is_set():
            return
        self._storage.close()
        self._consumer.stop_flag.set()
        bell.control.ring()
        self._consumer.stop(graceful=True)
        faults.point("queue.release")
        for job in model.release(self._storage.claims(), clock=self._clock):
            logger.warning("doce stops before this job is done; it goes back to %s", job.state, extra=job.log_context())
        self._stopped.set()
        self._beating.join()

    def set_concurrency(self, jobs_at_a_time: int) -> None:
        """Run up to this many at a time from now on, here and in every other worker process. Raises BadRequest unless 1-20."""
        jobs.set_concurrency(jobs_at_a_time)
        self._follow_concurrency()

    def _follow_concurrency(self) -> None:
        wanted = jobs.concurrency() or self._own_limit
        if wanted != self._storage.limit:
            self._consumer.grow(wanted)
            self._storage.set_limit(wanted)

    def _tick(self) -> None:
        self._follow_concurrency()
        self._upkeep.tick()
        if self._upkeep.due("health", _HEALTH_S):
            self._consumer.check_worker_health()

    def _beat(self) -> None:
        """In a thread of its own: neither a busy handler nor a slow sweep may cost a lease."""
        while not self._stopped.wait(self._heartbeat_s):
            try:
                for job in model.heartbeat(self._storage.claims(), clock=self._clock, lease_ms=self._lease_ms):
                    if self._storage.has(job):  # else it ended while we looked
                        logger.warning("the lease of a running job is lost", extra=job.log_context())
            except Exception:
                logger.exception("no heartbeat this time; the next one is due in %s s", self._heartbeat_s)
        database.close()

    def _run(self, job: Job) -> None:
        """One claim, from its beginning to whatever becomes of it."""
        try:
            faults.point("queue.claimed")
            with log_context(**job.log_context()):
                self._settle(job, JobContext(job, self._clock, self._storage))
        finally:
            self._storage.done(job)

    def _settle(self, job: Job, context: JobContext) -> None:
        try:
            self._handle(job, context)
        except LostLease:
            logger.warning("the handler's work does not count: its lease was lost")
        except Exception as error:
            if context.finished:
                logger.exception("the handler broke after its job had succeeded")
            else:
                self._record(job, error)

    def _handle(self, job: Job, context: JobContext) -> None:
        payload = understand(job)
        handler = registry.find(job.type)
        if handler is None:
            raise Unavailable(f"This doce has no handler for {job.type} jobs.", hint="Check that all doce processes are the same version.")
        handler.run(context, payload)
        if not context.finished:
            with context.finishing():
                pass

    def _record(self, job: Job, error: Exception) -> None:
        """Put in the row how the handler ended, other than by success."""
        try:
            if isinstance(error, Rescheduled):
                model.reschedule(job, error.delay_ms, clock=self._clock)
            elif isinstance(error, Cancelled):
                model.cancelled(job, clock=self._clock)
                logger.info("the job was cancelled")
            else:
                self._record_failure(job, error)
        except LostLease:
            logger.warning("how the handler ended does not count: its lease was lost")

    def _record_failure(self, job: Job, error: Exception) -> None:
        expected = isinstance(error, DoceError)
        sentence = mask(str(error)) if expected else f"{type(error).__name__}: {mask(str(error)).strip() or 'no message'}"[:500]
        with database.atomic():
            after = model.fail(job, sentence, permanent=isinstance(error, FINAL), clock=self._clock)
            write_log(job.id, _verdict(after, sentence), level="error", at=self._clock.now_ms())
        logger.error("the handler failed; the job is %s", after.state, exc_info=error)


def _verdict(job: Job, error: str) -> str:
    if job.state is JobState.QUEUED:
        return f"Attempt {job.attempts} of {job.max_attempts} failed: {error} Next try in {(job.run_at - job.updated_at) / 1000:g} s."
    return f"The job {job.state} at attempt {job.attempts} of {job.max_attempts}: {error}"


class Upkeep:
    """What a worker does between jobs: take back what lost workers held, remove what is long over."""

    def __init__(self, clock: Clock, *, heartbeat_s: float, history_ms: int) -> None:
        self._clock = clock
        self._heartbeat_s = heartbeat_s
        self._history_ms = history_ms
        self._last: dict[str, float] = {}
        self._ticked_at = clock.now_ms()
        self._grace_until = 0

    def tick(self) -> None:
        now = self._clock.now_ms()
        if now - self._ticked_at > _SUSPENDED_MS:
            logger.warning("the clock jumped by %s s; leases get time to be renewed", (now - self._ticked_at) // 1000)
            self._grace_until = now + round(2 * self._heartbeat_s * 1000)
        self._ticked_at = now
        if self.due("sweep", self._heartbeat_s):
            self.sweep(expired=now >= self._grace_until)
        if self.due("purge", _PURGE_S):
            jobs.purge(self._history_ms, clock=self._clock)

    def sweep(self, *, expired: bool) -> None:
        for job in model.sweep(clock=self._clock, is_gone=owner.is_gone, expired=expired):
            logger.warning("a job was taken back from a worker that is gone; it is %s", job.state, extra=job.log_context())

    def due(self, what: str, every_s: float) -> bool:
        """Whether `what` was last due `every_s` ago or more; the first time counts from the first question."""
        now = self._clock.monotonic()
        last = self._last.setdefault(what, now)
        if now - last < every_s:
            return False
        self._last[what] = now
        return True


class _Queue(Huey):  # type: ignore[misc]
    """Huey with one task: run a claimed job."""

    def __init__(self, storage: JobStorage, run: Any) -> None:
        self._jobs = storage
        super().__init__("doce", results=False, serializer=_Claims())
        self.task(name=_Claims.task)(run)

    def create_storage(self) -> JobStorage:
        return self._jobs


class _Claims:
    """Huey's serializer: what the storage gave is a claimed job already, never bytes that somebody could have written."""

    task = "run_job"

    def deserialize(self, job: Job) -> Message:
        return Message(id=str(job.id), name=f"{__name__}.{self.task}", args=(job,), kwargs={})


class _Scheduler(Scheduler):  # type: ignore[misc]
    """Huey's scheduler thread, doing the upkeep: the table is the schedule."""

    def __init__(self, tick: Any, **options: Any) -> None:
        super().__init__(**options)
        self._tick = tick

    def loop(self, now: Any = None) -> None:
        seen = bell.control.count
        try:
            self._tick()
        except Exception:
            logger.exception("the worker's upkeep failed; it is tried again")
        if not self.stop_flag.is_set():
            bell.control.wait(seen, _TICK_S)

    def shutdown(self) -> None:
        database.close()


class _Consumer(Consumer):  # type: ignore[misc]
    """Huey's consumer, embedded: no signal handlers, more threads when asked for."""

    def __init__(self, queue: _Queue, tick: Any, *, workers: int, stop_grace_s: float) -> None:
        self._tick = tick
        super().__init__(queue, workers=workers, periodic=False, max_delay=1.0, shutdown_timeout=stop_grace_s, check_worker_health=False)
        queue.on_shutdown("close the thread's connection")(database.close)

    def _set_signal_handlers(self) -> None:
        """The process belongs to whoever embeds us."""

    def _create_scheduler(self) -> _Scheduler:
        return _Scheduler(self._tick, huey=self.huey, stop_flag=self.stop_flag, interval=1, periodic=False)

    def grow(self, workers: int) -> None:
        """At least this many threads; fewer jobs at a time is the storage's business, idle threads only stand in line."""
        started = any(thread.ident for _, thread in self.worker_threads)
        while len(self.worker_threads) < workers:
            worker = self._create_worker()
            thread = self._create_process(worker, f"Worker-{len(self.worker_threads) + 1}")
            self.worker_threads.append((worker, thread))
            if started:
                thread.start()
        self.workers = len(self.worker_threads)
