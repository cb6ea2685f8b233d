"""The reaper: strikes out viewers that went away without a word, and lets projects sleep that nobody watches."""

from __future__ import annotations

import logging

from doce.clock import Clock
from doce.db import choices
from doce.presence import viewers
from doce.presence.idleness import idle_since
from doce.projects.requests import Requests
from doce.projects.status import ProjectStatus
from doce.projects.store import ProjectStore
from doce.projects.views import ProjectView
from doce.queue.enqueue import enqueue
from doce.queue.types import DockerStop
from doce.settings import Settings

logger = logging.getLogger(__name__)

#: A longer gap than this many rounds means that the machine slept: nobody could give a sign.
MISSED_ROUNDS = 3


class Reaper:
    """`look` is one round. After a start, and after a sleep of the machine, viewers first get time to give a sign again."""

    def __init__(self, settings: Settings, clock: Clock, *, store: ProjectStore, requests: Requests) -> None:
        self._settings = settings
        self._clock = clock
        self._store = store
        self._requests = requests
        self._stale_ms = round(settings.viewer_stale_s * 1000)
        self._looked_at: int | None = None
        self._grace_until = 0

    def look(self) -> None:
        now = self._clock.now_ms()
        if self._looked_at is None or not 0 <= now - self._looked_at <= MISSED_ROUNDS * self._settings.reap_s * 1000:
            self._grace_until = now + self._stale_ms
        self._looked_at = now
        for project_id in viewers.with_stale(now_ms=now, stale_ms=self._stale_ms):
            self._strike_out(project_id, now)
        idle_ms = round(choices.current(self._settings, "idle_s") * 1000)
        if idle_ms and now >= self._grace_until:
            for project in self._store.live(ProjectStatus.RUNNING):
                if self._may_sleep(project, now, idle_ms):
                    logger.info("nobody watches; it goes to sleep", extra={"project_id": project.id})
                    enqueue(DockerStop(project_id=project.id, reason="idle"), clock=self._clock)

    def _strike_out(self, project_id: str, now: int) -> None:
        if self._store.exists(project_id):
            viewers.note(project_id, now_ms=now, stale_ms=self._stale_ms)
        else:
            viewers.forget(project_id)

    def _may_sleep(self, project: ProjectView, now: int, idle_ms: int) -> bool:
        since = idle_since(project, now_ms=now, stale_ms=self._stale_ms)
        if since is None or now - since < idle_ms:
            return False
        return not self._requests.pending(project.id)
