"""The reconciler: compares rows with what really runs, and heals with back-off, one project at a time.

It never does the work itself; it enqueues the job that does, so that a healing step is as safe as any other.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from doce.clock import Clock
from doce.db.connection import database
from doce.db.models import Port, Project
from doce.errors import DoceError, Unavailable
from doce.events import log as events
from doce.logger import log_context
from doce.ports import release
from doce.projects.removal import remove_tree
from doce.projects.requests import Requests
from doce.projects.stack import OPENCODE
from doce.projects.status import ProjectStatus, PromptState
from doce.projects.views import ProjectView
from doce.queue import jobs
from doce.queue.enqueue import enqueue
from doce.queue.handlers.work import Work
from doce.queue.types import (
    DockerComposeUp,
    DockerEnsureRunning,
    DockerStop,
    JobPayload,
    OpencodeSendUserPrompt,
    OpencodeSessionCreate,
    ProjectCreate,
    ProjectDelete,
)
from doce.upkeep.production import mend_production
from doce.upkeep.shift import Shift
from doce.upkeep.tending import SERVICES, Tending, interrupt

logger = logging.getLogger(__name__)

#: Age at which a folder that no row knows is taken for left over, and pieces of ended messages are dropped, ms.
ORPHAN_AGE_MS = 10 * 60_000
PRUNE_AGE_MS = 24 * 3_600_000
PRUNE_EVERY_S = 3600.0


#: Bounds of a pause between two looks, seconds: a lease has to be renewed, a processor wants to rest.
MIN_PAUSE_S, MAX_PAUSE_S = 0.05, 5.0
#: How often an engine that is away is looked for, seconds.
ENGINE_LOOK_S = 5.0


class Reconciler:
    """One thread. `wake(project_id)` looks at one project at once; every `reconcile_s` all are looked at."""

    def __init__(self, work: Work, requests: Requests, shift: Shift | None = None) -> None:
        """`shift` says whether it is this process that heals; without one it is."""
        self._work = work
        self._requests = requests
        self._shift = shift
        self._clock: Clock = work.clock
        self._tending = Tending(work)
        #: Why nothing can be looked at, while that is so.
        self._away: str | None = None
        self._prune_at = float("-inf")
        self._woken: set[str] = set()
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="doce-reconciler", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join(timeout=10)

    def wake(self, project_id: str) -> None:
        """Something of this project changed by itself."""
        with self._changed:
            self._woken.add(project_id)
            self._changed.notify_all()

    def _run(self) -> None:
        due = 0.0
        while not self._stopped:
            with self._changed:
                woken, self._woken = self._woken | self._tending.due(), set()
            if self._shift is None or self._shift.mine():
                if time.monotonic() >= due:
                    self._guard(self.look_at_everything)
                    due = time.monotonic() + (ENGINE_LOOK_S if self._away else self._work.settings.reconcile_s)
                for project_id in woken:
                    self._guard(partial(self.look, project_id))
            with self._changed:
                pause = min(due - time.monotonic(), self._tending.next_s())
                self._changed.wait_for(lambda: self._woken or self._stopped, timeout=min(MAX_PAUSE_S, max(MIN_PAUSE_S, pause)))
        if self._shift:
            self._guard(self._shift.end)
        database.close()

    def _guard(self, look: Callable[[], object]) -> None:
        try:
            look()
        except DoceError as error:
            logger.warning("the reconciler could not look: %s", error)
        except Exception:
            logger.exception("the reconciler broke; it looks again later")

    def look_at_everything(self) -> None:
        """All live projects, then what no row knows. With the engine away: only that, once, for all."""
        if not self._engine_is_there():
            return
        for project in self._work.store.live(*ProjectStatus):
            self._guard(partial(self.look, project.id))
        self._guard(self._remove_orphans)
        self._guard(self._prune)

    def _engine_is_there(self) -> bool:
        """While it is away nothing counts as running, and nothing is tried. Whatever should run starts when it is back."""
        try:
            self._work.runtime.available()
        except Unavailable as away:
            if self._away is None:
                logger.warning("the runtime is away: %s", away)
            self._away = str(away)
            for project in self._work.store.live(ProjectStatus.RUNNING):
                self._work.store.set_status(project.id, ProjectStatus.STARTING, step=f"waiting: {away}"[:300])
            return False
        if self._away is not None:
            logger.info("the runtime is back")
        self._away = None
        return True

    def look(self, project_id: str) -> None:
        """Compare one project with what runs, and enqueue what mends it. A project that a job works on is left to it."""
        if not self._work.store.exists(project_id):
            self._tending.forget(project_id)
            return
        with log_context(project_id=project_id):
            self._requests.expire(project_id)
            project = self._work.store.get(project_id)
            if project.status is ProjectStatus.RUNNING:
                self._tending.look(project)
            else:
                self._tending.forget(project_id)
            if not self._busy(project_id) and (mend := self._mend(self._work.store.get(project_id))):
                logger.info("mending by %s", mend.type.value, extra={"project_status": project.status.value})
                enqueue(mend, clock=self._clock)
            if project.status is not ProjectStatus.DELETING and (start := mend_production(self._work, project)):
                logger.info("what was deployed is not served; starting it")
                enqueue(start, clock=self._clock)

    def _busy(self, project_id: str) -> bool:
        """A job works on its preview or agent. A deployment, which takes long, is nobody's reason to wait."""
        return any(not job.type.startswith("production.") for job in jobs.active(project_id))

    def _mend(self, project: ProjectView) -> JobPayload | None:
        """The job that this project lacks, if any."""
        match project.status:
            case ProjectStatus.CREATED:
                return ProjectCreate(project_id=project.id, prompt=project.prompt, template=project.template, model=project.model)
            case ProjectStatus.STARTING:
                if OPENCODE not in self._running(project.id):
                    interrupt(self._work, project.id)
                return DockerComposeUp(project_id=project.id, reason="user")
            case ProjectStatus.STOPPING:
                return DockerStop(project_id=project.id, reason="user")
            case ProjectStatus.DELETING:
                return ProjectDelete(project_id=project.id, requested_by=project.owner_user_id)
            case ProjectStatus.STOPPED | ProjectStatus.ERROR:
                return self._mend_stopped(project)
            case ProjectStatus.RUNNING:
                return self._mend_running(project)

    def _mend_stopped(self, project: ProjectView) -> JobPayload | None:
        if self._running(project.id):
            self._work.runtime.stop(project.id)
        if project.status is ProjectStatus.STOPPED and not project.stopped_by_user and project.queued_prompts:
            return DockerEnsureRunning(project_id=project.id, reason="user")
        return None

    def _mend_running(self, project: ProjectView) -> JobPayload | None:
        if project.bootstrap_session_id is None:
            return OpencodeSessionCreate(project_id=project.id)
        active = self._work.prompts.active(project.id)
        if (active and active.state is PromptState.SENDING) or (active is None and project.queued_prompts):
            return OpencodeSendUserPrompt(project_id=project.id)
        return None

    def _running(self, project_id: str) -> set[str]:
        """Of its preview and agent; production is another matter."""
        return {state.service for state in self._work.runtime.ps(project_id) if state.state == "running"} & set(SERVICES)

    def _prune(self) -> None:
        before = self._clock.now_ms() - PRUNE_AGE_MS
        events.prune_deltas(before)
        if self._clock.monotonic() >= self._prune_at:
            # A scan of the log: rarely.
            self._prune_at = self._clock.monotonic() + PRUNE_EVERY_S
            events.prune_counts(before)

    def _remove_orphans(self) -> None:
        """What runs, lies on disk or holds a port for a project that no row knows."""
        for project_id in self._work.runtime.projects():
            if not self._work.store.exists(project_id):
                logger.warning("ending services of a project that is gone", extra={"project_id": project_id})
                self._work.runtime.destroy(project_id)
        for row in Port.select(Port.project_id).distinct():
            if not self._work.store.exists(row.project_id):
                release(row.project_id)
        for folder in self._folders():
            if not Project.select().where(Project.id == folder.name, Project.deleted_at.is_null()).exists():
                logger.warning("removing a folder of a project that is gone", extra={"project_id": folder.name})
                remove_tree(folder)

    def _folders(self) -> list[Path]:
        roots = [root for root in (self._work.settings.projects, self._work.settings.production) if root.is_dir()]
        limit = self._clock.now_ms() - ORPHAN_AGE_MS
        return [
            path for root in roots for path in root.iterdir()
            if path.name.startswith("prj_") and path.stat().st_mtime * 1000 < limit
        ]  # fmt: skip
