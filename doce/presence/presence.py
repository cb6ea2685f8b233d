"""Presence: a heartbeat, an open stream or a chat message is a viewer, and a viewer wakes what idleness stopped."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from doce.clock import Clock
from doce.db.connection import database
from doce.db.ids import new_id
from doce.errors import DoceError
from doce.presence import viewers
from doce.presence.viewers import Seen
from doce.projects.stack import OPENCODE, PREVIEW
from doce.projects.status import ProjectStatus
from doce.projects.store import ProjectStore
from doce.projects.views import ProjectView, View
from doce.queue.enqueue import enqueue
from doce.queue.types import DockerEnsureRunning

logger = logging.getLogger(__name__)

#: When to look again, ms: while something is on its way, and else.
SOON_MS, LATER_MS = 1_000, 10_000


class PresenceView(View):
    """What a viewer is told."""

    status: ProjectStatus
    viewer_count: int
    preview_url: str | None
    preview_ready: bool
    opencode_ready: bool
    #: one sentence for a person
    message: str
    #: when the next heartbeat is wanted, ms
    next_poll_ms: int


@dataclass(eq=False)
class Visit:
    """One open stream."""

    project_id: str
    seen: Seen
    told: bool = field(default=False)


class Presence:
    """Counts viewers. Streams `enter` and `leave` without waiting; a thread of its own writes that down and gives their sign."""

    def __init__(
        self,
        clock: Clock,
        *,
        store: ProjectStore,
        stale_s: float,
        ready: Callable[[ProjectView], Mapping[str, bool]],
    ) -> None:
        """`ready` says which services of a project that starts answer already."""
        self._clock = clock
        self._store = store
        self._stale_ms = round(stale_s * 1000)
        self._ready = ready
        self._visits: dict[Visit, None] = {}
        self._left: list[Visit] = []
        self._changed = threading.Condition()
        self._news = False
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="doce-presence", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Everybody leaves."""
        with self._changed:
            self._stopped = True
            self._left += self._visits
            self._visits.clear()
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def touch(self, project_id: str, viewer_id: str, user_id: str | None, door: str) -> PresenceView:
        """Somebody watches. Raises NotFound for a project that is gone."""
        self._store.get(project_id)
        watching = self._note(project_id, [Seen(viewer_id, user_id, door)])
        return self._view(self._store.get(project_id), watching)

    def enter(self, project_id: str, user_id: str | None, *, viewer_id: str | None = None, door: str = "stream") -> Visit:
        """A stream was opened; counts until `leave`. Never waits."""
        visit = Visit(project_id, Seen(viewer_id or new_id("viewer"), user_id, door))
        with self._changed:
            self._visits[visit] = None
            self._ring()
        return visit

    def leave(self, visit: Visit) -> None:
        """The stream was closed. Never waits."""
        with self._changed:
            if self._visits.pop(visit, visit) is None:
                self._left.append(visit)
                self._ring()

    def _ring(self) -> None:
        self._news = True
        self._changed.notify_all()

    def _note(self, project_id: str, seen: list[Seen], gone: frozenset[str] = frozenset()) -> int:
        with database.atomic():
            watching = viewers.note(project_id, now_ms=self._clock.now_ms(), stale_ms=self._stale_ms, seen=seen, gone=gone)
            if seen:
                self._wake(self._store.get(project_id))
        return watching

    def _wake(self, project: ProjectView) -> None:
        """Start what idleness stopped. What a person stopped stays so until a person acts."""
        if project.status in (ProjectStatus.STOPPED, ProjectStatus.STOPPING) and not project.stopped_by_user:
            enqueue(DockerEnsureRunning(project_id=project.id, reason="presence"), clock=self._clock)

    def _view(self, project: ProjectView, watching: int) -> PresenceView:
        running = project.status is ProjectStatus.RUNNING
        ready = self._ready(project) if project.status is ProjectStatus.STARTING else {}
        waits = project.status in (ProjectStatus.CREATED, ProjectStatus.STARTING, ProjectStatus.STOPPING) or (
            project.status is ProjectStatus.STOPPED and not project.stopped_by_user
        )
        return PresenceView(
            status=project.status,
            viewer_count=watching,
            preview_url=project.preview_url,
            preview_ready=running or ready.get(PREVIEW, False),
            opencode_ready=running or ready.get(OPENCODE, False),
            message=_sentence(project),
            next_poll_ms=SOON_MS if waits else min(LATER_MS, self._stale_ms // 3),
        )

    def _run(self) -> None:
        """Write down who came and went at once, and who is still there well before they would be taken for gone."""
        beat_s = min(10.0, self._stale_ms / 3000)
        due = self._clock.monotonic() + beat_s
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._news or self._stopped, timeout=max(0.0, due - self._clock.monotonic()))
                beat = self._clock.monotonic() >= due
                here = [visit for visit in self._visits if beat or not visit.told]
                left, self._left, self._news = self._left, [], False
                stopped = self._stopped
                staying = {(visit.project_id, visit.seen.viewer_id) for visit in self._visits}
            if beat:
                due = self._clock.monotonic() + beat_s
            self._write(here, [visit for visit in left if (visit.project_id, visit.seen.viewer_id) not in staying])
            if stopped:
                break
        database.close()

    def _write(self, here: list[Visit], left: list[Visit]) -> None:
        seen, gone = defaultdict(list), defaultdict(set)
        for visit in here:
            visit.told = True
            seen[visit.project_id].append(visit.seen)
        for visit in left:
            gone[visit.project_id].add(visit.seen.viewer_id)
        for project_id in {*seen, *gone}:
            try:
                self._note(project_id, seen[project_id], frozenset(gone[project_id]))
            except DoceError as error:
                # Deleted meanwhile, or the disk is full: the next beat tells again who is here, and who went goes stale.
                logger.info("viewers could not be noted", extra={"project_id": project_id, "cause": str(error)})
            except Exception:  # a background thread: the others still have to be counted
                logger.exception("viewers could not be noted", extra={"project_id": project_id})


def _sentence(project: ProjectView) -> str:
    match project.status:
        case ProjectStatus.RUNNING:
            return "It runs."
        case ProjectStatus.CREATED | ProjectStatus.STARTING:
            return f"It starts{f': {project.step}' if project.step else ''}."
        case ProjectStatus.STOPPING:
            return "It is stopping." if project.stopped_by_user else "It was about to sleep; it starts again."
        case ProjectStatus.STOPPED if project.stopped_by_user:
            return f"Somebody stopped it; `doce start {project.slug}` starts it."
        case ProjectStatus.STOPPED:
            return "It slept because nobody watched; it starts now."
        case ProjectStatus.ERROR:
            return " ".join(part for part in (project.error or "It is broken.", project.error_hint) if part)
        case ProjectStatus.DELETING:
            return "It is being deleted."
