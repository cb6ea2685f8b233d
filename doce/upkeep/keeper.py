"""Keeps one relay for each running project, in one process only."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from doce.errors import DoceError
from doce.logger import log_context
from doce.projects import store as project_store
from doce.projects.status import ProjectStatus
from doce.projects.views import ProjectView
from doce.upkeep.relay import Desk, Relay
from doce.upkeep.shift import Shift

logger = logging.getLogger(__name__)

#: How often rows are looked at for what another process changed.
LOOK_S = 1.0
LEASE_S = 15.0
FIRST_PAUSE_S, LAST_PAUSE_S = 0.5, 15.0


class RelayKeeper:
    """Owner of the relays: starts them, restarts those that break, ends those whose project stopped."""

    def __init__(self, desk: Desk, holder: str, *, is_gone: Callable[[str], bool]) -> None:
        self._desk = desk
        self._shift = Shift("relay", holder, ttl_s=LEASE_S, clock=desk.clock, is_gone=is_gone)
        self._relays: dict[str, tuple[int, asyncio.Task[None]]] = {}
        self._woken = asyncio.Event()

    @property
    def relays(self) -> int:
        """How many projects are being read."""
        return len(self._relays)

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()

        def wake(_project_id: str) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closing
                loop.call_soon_threadsafe(self._woken.set)

        project_store.changed.append(wake)
        try:
            while True:
                try:
                    await self._look()
                except DoceError as error:
                    logger.warning("the relays could not be looked after; trying again", extra={"cause": str(error)})
                except Exception:
                    logger.exception("the relays could not be looked after; trying again")
                with contextlib.suppress(TimeoutError):
                    # Not wait_for: being woken in the moment of a cancellation would swallow that.
                    async with asyncio.timeout(LOOK_S):
                        await self._woken.wait()
                self._woken.clear()
        finally:
            project_store.changed.remove(wake)
            await self._end(list(self._relays))
            await asyncio.to_thread(self._shift.end)

    async def _look(self) -> None:
        wanted = await asyncio.to_thread(self._wanted)
        stale = [project_id for project_id, (port, task) in self._relays.items() if wanted.get(project_id, (0,))[0] != port or task.done()]
        await self._end(stale)
        for project_id, (port, project) in wanted.items():
            if project_id not in self._relays:
                self._relays[project_id] = (port, asyncio.create_task(self._read(project), name=f"doce-relay-{project_id}"))

    def _wanted(self) -> dict[str, tuple[int, ProjectView]]:
        if not self._shift.mine():
            return {}
        running = self._desk.store.live(ProjectStatus.RUNNING, ProjectStatus.STOPPING)
        return {
            project.id: (project.opencode_port, project) for project in running if project.opencode_port and project.bootstrap_session_id
        }

    async def _read(self, project: ProjectView) -> None:
        """One relay, begun again when it breaks: with a state made from the log, nothing is lost or doubled."""
        pause = FIRST_PAUSE_S
        with log_context(project_id=project.id):
            while True:
                try:
                    await Relay(self._desk, project).run()
                except DoceError as error:
                    logger.warning("the agent cannot be read; trying again", extra={"cause": str(error)})
                except Exception:
                    logger.exception("the relay broke; beginning again")
                await asyncio.sleep(pause)
                pause = min(pause * 2, LAST_PAUSE_S)

    async def _end(self, project_ids: list[str]) -> None:
        ending = [self._relays.pop(project_id)[1] for project_id in project_ids]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
