"""doce's side of Slack without agents: real stores, a real teller, the twin of Slack; a test writes what the agent says into the log."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from doce import app
from doce.chats.threads import Thread
from doce.db.connection import database
from doce.events import log
from doce.events import vocabulary as said
from doce.settings import Settings
from doce.testing.slack import Seen, Slack
from doce_slack.calls import Calls
from doce_slack.pace import Pace
from doce_slack.pictures import Pictures
from doce_slack.teller import Teller
from doce_slack.workspaces import KIND, Workspaces

from .house import is_turn, logged, squeezed
from .house import said as markdown

FREE = float("inf")


async def do(work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """At once: these tests have one thread."""
    return work(*arguments, **named)


class Clock:
    """Of who tells. It runs by itself."""

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Desk:
    """One project with one thread in #sites. `tell` writes to the log, `say` is the agent speaking."""

    def __init__(self, folder: Path, slack: Slack, **settings: Any) -> None:
        self.slack = slack
        given = Settings(
            data=folder / "data", min_free_mb=0, runtime="process", slack_bot_token=SecretStr(slack.token), slack_api_url=slack.api_url,
            **settings,
        )  # fmt: skip
        self.parts = app.build(given)
        self.services = self.parts.services
        self.ada = self.services.users.first_admin("ada")
        self.project = self.services.projects.create(self.ada.id, "a bakery in Porto")
        self.prompt = self.services.prompts.next(self.project.id)
        self.channel = slack.channel("#sites")
        self.thread = self._thread()
        self._offsets: dict[str, int] = {}
        self._number = 0
        self._stop: Callable[[], Coroutine[Any, Any, None]] | None = None
        self._settled = asyncio.Event()
        threads, settle = self.services.chats.threads, self.services.chats.threads.told

        def told(thread_id: str, cursor: int) -> None:
            settle(thread_id, cursor)
            self._settled.set()

        threads.told = told  # type: ignore[method-assign]

    def _thread(self) -> Thread:
        assert self.prompt
        threads, ada = self.services.chats.threads, self.slack.user("ada").id
        with database.atomic():
            made = threads.begin(
                KIND, self.slack.workspace.id, self.channel.id, None, project_id=self.project.id, user_id=self.ada.id, external_user=ada
            )
            threads.asked(self.prompt.id, made.id, ts=None, external_user=ada)
        return made

    # A bot that lives and dies

    async def start(self, rate: float = FREE, clock: Clock | None = None) -> Teller:
        clock = clock or Clock()
        pace = self.pace = Pace(factor=rate if rate != FREE else 1e9)
        settings = self.services.settings
        workspaces = Workspaces(
            self.services.chats.installations,
            Calls(pace, sleep=clock.sleep),
            api_url=settings.slack_api_url,
            token=settings.slack_bot_token,
            do=do,
        )
        await workspaces.open()
        teller = self.teller = Teller(
            self.services, workspaces, do, pictures=Pictures(self.services, do), monotonic=clock.monotonic, sleep=clock.sleep
        )
        task = asyncio.create_task(teller.run())

        async def stop() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await pace.close()
            await workspaces.close()

        self._stop = stop
        return teller

    async def stop(self) -> None:
        """As abruptly as a kill: what is going on is not finished."""
        if self._stop:
            await self._stop()
            self._stop = None

    # What the agent does

    def tell(self, payload: said.Payload, **more: Any) -> int:
        assert self.prompt
        return log.append(payload, project_id=self.project.id, prompt_id=self.prompt.id, session_id="ses_1", **more)

    def sent(self) -> None:
        assert self.prompt
        self.tell(said.PromptSent(message_id="msg_0", text=self.prompt.text))

    def say(self, text: str, part: str = "prt_1", message: str = "msg_1") -> None:
        offset = self._offsets.get(part, 0)
        self.tell(said.MessagePartAdded(message_id=message, part_id=part, offset=offset, delta_text=text))
        self._offsets[part] = offset + len(text)

    def tool(self, name: str, **given: Any) -> None:
        """A tool that runs and ends."""
        self._number += 1
        id = f"call_{self._number}"
        self.tell(said.ToolStart(tool_call_id=id, name=name, title=name, input=given))
        self.tell(said.ToolFinish(tool_call_id=id, name=name, title=name, output="done", metadata={}))

    def completed(self) -> None:
        self.tell(said.PromptCompleted(duration_ms=1000))

    # What is seen

    def seen(self) -> list[Seen]:
        cards = [one for one in self.slack.messages("#sites") if one.author == "doce"]
        return self.slack.thread("#sites", cards[0].ts) if cards else []

    def shown(self) -> str:
        """All text of the thread's messages."""
        return "".join(markdown(one) for one in self.seen()[1:])

    async def until(self, so: Callable[[], Any], timeout: float = 15.0) -> Any:
        return await self.slack.until(lambda _: so(), timeout)

    async def shows(self, words: str, timeout: float = 15.0) -> None:
        await self.until(lambda: squeezed(words) in squeezed(self.shown()), timeout)

    async def over(self, timeout: float = 25.0) -> list[Seen]:
        """The messages of the turn, once it has ended and the cursor has passed it."""
        await self.until(lambda: [one for one in self.seen()[1:] if is_turn(one)], timeout)
        return self.seen()[1:]

    async def told(self) -> None:
        """Until the thread's cursor is at the end of the log: nothing of it is open."""
        async with asyncio.timeout(10):
            while self.services.chats.threads.behind(KIND):
                self._settled.clear()
                await self._settled.wait()

    def check(self) -> None:
        """The thread says what the log says: no text lost, none doubled."""
        assert self.prompt
        shown = self.shown().replace("\n\n_continued below_", "")
        assert squeezed(shown) == squeezed(logged(list(log.all_after(self.project.id)), self.prompt.id))
        cards = [one for one in self.slack.messages("#sites") if one.author == "doce"]
        assert len(cards) == 1, "one root card"


@contextlib.asynccontextmanager
async def desk(folder: Path, *, rate: float = FREE, start: bool = True, clock: Clock | None = None, **settings: Any) -> AsyncIterator[Desk]:
    async with Slack(rate=rate) as slack:
        made = Desk(folder, slack, **settings)
        async with made.parts.feed:
            if start:
                await made.start(rate, clock)
            try:
                yield made
            finally:
                await made.stop()
                made.parts.runtime.close()
                database.close()


def play(folder: Path, scenario: Callable[[Desk], Coroutine[Any, Any, None]], **settings: Any) -> None:
    """Run a scenario at a desk of its own."""

    async def run() -> None:
        async with desk(folder, **settings) as made:
            await scenario(made)

    asyncio.run(run())
