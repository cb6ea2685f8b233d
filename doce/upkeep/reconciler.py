"""The reconciler: compares rows with what really runs, and heals with back-off, one project at a time.

It never does the work itself; it enqueues the job that does, so that a healing step is as safe as any other.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from doce.clock import Clock
from doce.db.connection import database
from doce.db.models import Port, Project
from doce.errors import DoceError
from doce.events import log as events
from doce.logger import log_context
from doce.ports import release
from doce.projects.requests import Requests
from doce.projects.stack import OPENCODE, PREVIEW
from doce.projects.status import ProjectStatus, PromptState
from doce.projects.views import ProjectView
from doce.queue import jobs
from doce.queue.enqueue import enqueue
from doce.queue.handlers.project import remove_tree
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
from doce.upkeep.relay import RESUME_HINT

logger = logging.getLogger(__name__)

#: Deaths of a project's services within `DEATH_WINDOW_MS` after which it is left alone, in `error`.
MAX_DEATHS = 5
DEATH_WINDOW_MS = 10 * 60_000
#: First and longest pause before a dead service is started again.
FIRST_PAUSE_MS, LAST_PAUSE_MS = 1_000, 60_000
DIED = "The agent ended in the middle of the turn."
#: Age at which a folder that no row knows is taken for left over, and pieces of ended messages are dropped, ms.
ORPHAN_AGE_MS = 10 * 60_000
PRUNE_AGE_MS = 24 * 3_600_000


@dataclass
class Record:
    """What is remembered of one project between looks."""

    deaths: deque[int] = field(default_factory=deque)
    #: Epoch ms at which what died is started again; None while nothing is dead.
    heal_at: int | None = None


class Reconciler:
    """One thread. `wake(project_id)` looks at one project at once; every `reconcile_s` all are looked at."""

    def __init__(self, work: Work, requests: Requests) -> None:
        self._work = work
        self._requests = requests
        self._clock: Clock = work.clock
        self._records: dict[str, Record] = {}
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
                woken, self._woken = self._woken | self._to_heal(), set()
            if time.monotonic() >= due:
                self._guard(self.look_at_everything)
                due = time.monotonic() + self._work.settings.reconcile_s
            for project_id in woken:
                self._guard(partial(self.look, project_id))
            with self._changed:
                pause = min(due - time.monotonic(), self._next_heal_s())
                self._changed.wait_for(lambda: self._woken or self._stopped, timeout=max(0.05, pause))
        database.close()

    def _guard(self, look: Callable[[], object]) -> None:
        try:
            look()
        except DoceError as error:
            logger.warning("the reconciler could not look: %s", error)
        except Exception:
            logger.exception("the reconciler broke; it looks again later")

    def look_at_everything(self) -> None:
        """All live projects, then what no row knows."""
        for project in self._work.store.live(*ProjectStatus):
            self._guard(partial(self.look, project.id))
        self._guard(self._remove_orphans)
        self._guard(lambda: events.prune_deltas(self._clock.now_ms() - PRUNE_AGE_MS))

    def look(self, project_id: str) -> None:
        """Compare one project with what runs, and enqueue what mends it. A project that a job works on is left to it."""
        if not self._work.store.exists(project_id):
            self._records.pop(project_id, None)
            return
        with log_context(project_id=project_id):
            self._requests.expire(project_id)
            project = self._work.store.get(project_id)
            dead = self._dead(project) if project.status is ProjectStatus.RUNNING else []
            if dead:
                self._tend(project, dead)
                return
            if project_id in self._records:
                self._records[project_id].heal_at = None
            if not jobs.active(project_id) and (mend := self._mend(project)):
                logger.info("mending by %s", mend.type.value, extra={"project_status": project.status.value})
                enqueue(mend, clock=self._clock)

    def _mend(self, project: ProjectView) -> JobPayload | None:
        """The job that this project lacks, if any."""
        match project.status:
            case ProjectStatus.CREATED:
                return ProjectCreate(project_id=project.id, prompt=project.prompt, template=project.template, model=project.model)
            case ProjectStatus.STARTING:
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
        if any(state.state == "running" for state in self._work.runtime.ps(project.id)):
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

    def _dead(self, project: ProjectView) -> list[str]:
        """The services that should run and do not."""
        states = {state.service: state.state for state in self._work.runtime.ps(project.id)}
        return [service for service in (PREVIEW, OPENCODE) if states.get(service) != "running"]

    def _tend(self, project: ProjectView, dead: list[str]) -> None:
        """Note a death, end the turn it interrupted, start it again after a pause, give up after too many."""
        record = self._records.setdefault(project.id, Record())
        now = self._clock.now_ms()
        if record.heal_at is None:
            self._note_death(project, dead, record, now)
        elif now >= record.heal_at:
            record.heal_at = None
            enqueue(DockerEnsureRunning(project_id=project.id, reason="presence"), clock=self._clock)

    def _note_death(self, project: ProjectView, dead: list[str], record: Record, now: int) -> None:
        record.deaths.append(now)
        while record.deaths[0] < now - DEATH_WINDOW_MS:
            record.deaths.popleft()
        record.heal_at = now + min(LAST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (len(record.deaths) - 1))
        logger.warning("services ended by themselves", extra={"services": dead, "deaths": len(record.deaths)})
        active = self._work.prompts.active(project.id)
        if OPENCODE in dead and active and active.state is PromptState.SENT:
            self._work.prompts.end(
                active.id, PromptState.INTERRUPTED, reason="The agent ended in the middle of the turn.", hint=RESUME_HINT
            )
        if len(record.deaths) >= MAX_DEATHS:
            record.deaths.clear()
            record.heal_at = None
            self._work.store.set_status(
                project.id,
                ProjectStatus.ERROR,
                error=f"{' and '.join(dead)} ended {MAX_DEATHS} times within ten minutes.",
                hint=f"`doce logs {project.slug}` says why; `doce start {project.slug}` tries again.",
            )

    def _to_heal(self) -> set[str]:
        """Projects whose pause is over."""
        now = self._clock.now_ms()
        return {project_id for project_id, record in self._records.items() if record.heal_at is not None and record.heal_at <= now}

    def _next_heal_s(self) -> float:
        waits = [record.heal_at - self._clock.now_ms() for record in self._records.values() if record.heal_at is not None]
        return min(waits) / 1000 if waits else float("inf")

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
        root = self._work.settings.projects
        if not root.is_dir():
            return []
        limit = self._clock.now_ms() - ORPHAN_AGE_MS
        return [path for path in root.iterdir() if path.name.startswith("prj_") and path.stat().st_mtime * 1000 < limit]
