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
from doce_slack.pictures import Pictures
from doce_slack.reporter import Reporter
from doce_slack.workspaces import KIND, Do, Workspaces

logger = logging.getLogger(__name__)

#: How long a workspace that takes no streams is not asked again, seconds.
NO_STREAMS_S = 3600.0
#: Refusals of a stream that say that there are none; others are about this one.
NO_STREAMS = (
    "unknown_method", "missing_scope", "not_allowed_token_type", "feature_not_enabled", "team_access_not_granted", "method_deprecated",
)  # fmt: skip
_PROJECT = re.compile(rb'"projectId":"(prj_[0-9a-z]+)"')


class Teller:
    """`added` begins to tell a new thread; `run` tells the ones there are."""

    def __init__(
        self, services: Services, workspaces: Workspaces, do: Do, *, pictures: Pictures, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._pictures = pictures
        self._services, self._workspaces, self._do, self._monotonic = services, workspaces, do, monotonic
        self._threads: defaultdict[str, set[str]] = defaultdict(set)
        self._running: dict[str, tuple[Reporter, asyncio.Task[None]]] = {}
        self._no_streams: dict[str, float] = {}

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
            thread = await self._do(self._services.chats.threads.get, thread_id)
            if thread is None or thread.closed_at is not None:
                self._threads[project_id].discard(thread_id)
            else:
                self._begin(thread)

    def _begin(self, thread: Thread) -> None:
        if thread.id in self._running:
            return
        reporter = Reporter(
            self._services, self._workspaces, thread, self._do, monotonic=self._monotonic, pictures=self._pictures,
            streams=lambda: self._monotonic() >= self._no_streams.get(thread.team, float("-inf")),
            no_streams=lambda code: self._refused(thread.team, code),
        )  # fmt: skip
        task = asyncio.create_task(reporter.run(), name=f"slack-thread-{thread.id}")
        self._running[thread.id] = (reporter, task)
        task.add_done_callback(lambda _: self._running.pop(thread.id, None))

    def _refused(self, team: str, code: str) -> None:
        logger.info("Slack takes no stream (%s): messages are posted and edited instead", code, extra={"team": team})
        if code in NO_STREAMS:
            self._no_streams[team] = self._monotonic() + NO_STREAMS_S

    async def _end(self) -> None:
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
