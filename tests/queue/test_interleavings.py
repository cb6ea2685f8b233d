"""Any order of anything that may happen to jobs: the promises hold after each step."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from doce.clock import ManualClock
from doce.db.connection import database, open_database
from doce.errors import Conflict
from doce.events import log as events
from doce.queue import jobs, model, registry
from doce.queue.context import JobContext
from doce.queue.enqueue import enqueue
from doce.queue.interrupts import Cancelled, LostLease
from doce.queue.registry import Handler
from doce.queue.types import Job, JobState, OpencodeSendUserPrompt, OpencodeSessionCreate

LEASE_MS = 60_000
PROJECTS = st.sampled_from(["a", "b", "c"])
PAYLOADS = st.sampled_from([OpencodeSessionCreate, OpencodeSendUserPrompt])


class Queue(RuleBasedStateMachine):
    """Workers that claim, end, lose their lease and die; people who enqueue, cancel, retry, pause and run now."""

    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._db = open_database(Path(self._folder.name) / "db.sqlite")
        self._db.pragma("synchronous", "OFF", permanent=True)
        self._clock = ManualClock()
        self._claimed = 0
        #: what the hooks were told: job → final state
        self._told: dict[int, list[str]] = {}
        hooks = Handler(lambda *_: None, failed=lambda job, _: self._tell(job), cancelled=self._tell)
        registry.install({OpencodeSessionCreate.type: hooks, OpencodeSendUserPrompt.type: hooks})

    def _tell(self, job: Job) -> None:
        assert database.transaction_depth() > 0
        self._told.setdefault(job.id, []).append(job.state.value)

    def teardown(self) -> None:
        registry.install({})
        self._db.close()
        self._folder.cleanup()

    @rule(project=PROJECTS, payload=PAYLOADS, delay_ms=st.sampled_from([0, 0, 500]), priority=st.integers(0, 1), attempts=st.integers(1, 3))
    def ask(self, project: str, payload: type[OpencodeSessionCreate], delay_ms: int, priority: int, attempts: int) -> None:
        active = [job for job in jobs.active(project) if job.type == payload.type]
        asked = enqueue(payload(project_id=project), delay_ms=delay_ms, priority=priority, max_attempts=attempts, clock=self._clock)
        assert asked.existing == bool(active)
        assert not active or asked.job == active[0]

    @rule(target=claims)
    def claim(self) -> Job | None:
        self._claimed += 1
        now = self._clock.now_ms()
        everything = jobs.list(limit=10_000)
        busy = {job.project_id for job in everything if job.state is JobState.RUNNING}
        ready = [job for job in everything if job.state is JobState.QUEUED and job.run_at <= now and job.project_id not in busy]
        expected = min(ready, key=lambda job: (-job.priority, job.run_at, job.id), default=None)
        got = model.claim(f"worker{self._claimed}", clock=self._clock, lease_ms=LEASE_MS)
        if expected is None or jobs.paused():
            assert got is None
        else:
            assert got is not None
            assert (got.id, got.attempts) == (expected.id, expected.attempts + 1)
        return got

    @rule(claim=claims, end=st.sampled_from(["finish", "chain", "fail", "permanent", "reschedule", "cancelled", "release", "heartbeat"]))
    def end(self, claim: Job | None, end: str) -> None:
        if claim is None:
            return
        before = jobs.get(claim.id)
        ours = before.state is JobState.RUNNING and before.locked_by == claim.locked_by
        try:
            self._end(claim, end)
        except LostLease:
            assert not ours
        except Cancelled:
            assert ours
            assert before.cancel_requested_at is not None
        if not ours:
            assert jobs.get(claim.id) == before

    def _end(self, claim: Job, end: str) -> None:
        if end in ("finish", "chain"):
            with JobContext(claim, self._clock).finishing():
                if end == "chain":
                    enqueue(OpencodeSendUserPrompt(project_id=claim.project_id or ""), clock=self._clock)
        elif end in ("fail", "permanent"):
            model.fail(claim, "broke", permanent=end == "permanent", clock=self._clock)
        elif end == "reschedule":
            model.reschedule(claim, 100, clock=self._clock)
        elif end == "cancelled":
            model.cancelled(claim, clock=self._clock)
        elif end == "release":
            model.release([claim], clock=self._clock)
        else:
            model.heartbeat([claim], clock=self._clock, lease_ms=LEASE_MS)

    @rule(ms=st.sampled_from([1, 100, 2_000, LEASE_MS]))
    def time_passes(self, ms: int) -> None:
        self._clock.advance(ms=ms)

    @rule(dead=st.booleans())
    def sweep(self, dead: bool) -> None:
        model.sweep(clock=self._clock, is_gone=lambda _: dead)
        now = self._clock.now_ms()
        assert not [job for job in model.select("state = 'running'") if dead or (job.lease_expires_at or 0) <= now]

    @rule(number=st.integers(1, 12), what=st.sampled_from([jobs.cancel, jobs.retry, jobs.run_now]))
    def person(self, number: int, what: Callable[..., object]) -> None:
        if not model.select("id = ?", number):
            return
        before = jobs.list(limit=10_000)
        try:
            what(number, clock=self._clock)
        except Conflict:
            assert jobs.list(limit=10_000) == before

    @rule(pause=st.booleans())
    def pause(self, pause: bool) -> None:
        (jobs.pause if pause else jobs.resume)()

    @invariant()
    def promises(self) -> None:
        everything = jobs.list(limit=10_000)
        running = [job.project_id for job in everything if job.state is JobState.RUNNING]
        assert len(running) == len(set(running))
        keys = [job.dedupe_key for job in everything if not job.state.terminal]
        assert len(keys) == len(set(keys))
        last = {event.payload["jobId"]: event.payload for event in events.all_after(None)}
        for job in everything:
            assert (job.locked_by is not None) == (job.lease_expires_at is not None) == (job.state is JobState.RUNNING)
            assert (job.finished_at is not None) == job.state.terminal
            assert 0 <= job.attempts <= job.max_attempts
            # The log says what the row says; a job between two looks still counts as running.
            assert last[job.id]["state"] == job.state or (job.polls and last[job.id]["state"] == "running")
            if job.state in (JobState.FAILED, JobState.CANCELLED):
                assert self._told[job.id] == [job.state.value]
            else:
                assert job.id not in self._told


TestQueue = Queue.TestCase
TestQueue.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
