"""Keeps a reporter for every thread that has something to be told, and wakes it when its project has news."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import defaultdict
from collections.abc import Callable

from doce.actions.services import Services
from doce.chats.threads import Thread
from doce.events import log
from doce_slack.pace import Sleep
from doce_slack.pictures import Pictures
from doce_slack.powers import Powers
from doce_slack.reporter import Reporter
from doce_slack.workspaces import KIND, Do, Workspaces

logger = logging.getLogger(__name__)

#: A thread where doce may not speak is tried again after so long, when there is news, seconds.
ASIDE_S = 60.0
_PROJECT = re.compile(rb'"projectId":"(prj_[0-9a-z]+)"')


class Teller:
    """`added` begins to tell a new thread; `run` tells the ones there are."""

    def __init__(
        self, services: Services, workspaces: Workspaces, do: Do, *, pictures: Pictures,
        monotonic: Callable[[], float] = time.monotonic, sleep: Sleep = asyncio.sleep,
    ) -> None:  # fmt: skip
        self._pictures, self._sleep = pictures, sleep
        self._services, self._workspaces, self._do, self._monotonic = services, workspaces, do, monotonic
        self._threads: defaultdict[str, set[str]] = defaultdict(set)
        self._running: dict[str, tuple[Reporter, asyncio.Task[None]]] = {}
        self._powers = Powers(monotonic)
        self._aside: dict[str, float] = {}
        self._again: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until cancelled."""
        # The subscription first: what comes while the threads are looked up wakes them again.
        subscription = self._services.feed.subscribe(None, log.head())
        try:
            threads = self._services.chats.threads
            for thread in await self._do(threads.open, KIND):
                self._threads[thread.project_id].add(thread.id)
            for thread in await self._do(threads.behind, KIND):
                self._begin(thread)
            async for chunk in subscription:
                for found in set(_PROJECT.findall(chunk)):
                    await self.wake(found.decode())
        finally:
            subscription.close()
            await self._end()

    def added(self, thread: Thread) -> None:
        """A new thread: its card is posted, and what happens in its project told."""
        self._threads[thread.project_id].add(thread.id)
        self._begin(thread)

    async def wake(self, project_id: str) -> None:
        """There is news of a project."""
        for thread_id in list(self._threads.get(project_id, ())):
            if thread_id in self._running:
                self._running[thread_id][0].wake()
                continue
            if self._monotonic() < self._aside.get(thread_id, float("-inf")):
                continue
            thread = await self._do(self._services.chats.threads.get, thread_id)
            if thread is None or thread.closed_at is not None:
                self._threads[project_id].discard(thread_id)
            else:
                self._begin(thread)

    def _begin(self, thread: Thread) -> None:
        if thread.id in self._running:
            return
        reporter = Reporter(
            self._services, self._workspaces, thread, self._do, powers=self._powers, pictures=self._pictures,
            monotonic=self._monotonic, sleep=self._sleep,
        )  # fmt: skip
        task = asyncio.create_task(reporter.run(), name=f"slack-thread-{thread.id}")
        self._running[thread.id] = (reporter, task)
        self._aside.pop(thread.id, None)
        task.add_done_callback(lambda ended: self._ended(thread, reporter, ended))

    def _ended(self, thread: Thread, reporter: Reporter, task: asyncio.Task[None]) -> None:
        self._running.pop(thread.id, None)
        if reporter.put_aside:
            self._aside[thread.id] = self._monotonic() + ASIDE_S
        elif reporter.woken and not task.cancelled() and thread.id in self._threads[thread.project_id]:
            # There was news while it ended.
            again = asyncio.create_task(self.wake(thread.project_id), name=f"slack-again-{thread.id}")
            self._again.add(again)
            again.add_done_callback(self._again.discard)

    async def _end(self) -> None:
        tasks = [*self._again, *(task for _, task in self._running.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
