"""A thread, told: reads the project's events after the thread's cursor and keeps card, turns, requests and deploys up to date.

What is open (a turn, a deploy, a request) holds the cursor before its first event: after a restart it is read again from there, and
the rows of `chat_messages` say what of it was posted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from doce.actions.services import Services
from doce.chats.threads import Thread
from doce.events import log
from doce.events import vocabulary as said
from doce.events.log import Event
from doce.logger import log_context
from doce_slack.calls import Lost, Refused
from doce_slack.pace import Sleep
from doce_slack.pictures import Pictures
from doce_slack.posting import Place
from doce_slack.powers import Powers
from doce_slack.project_reporter import CardReporter, DeployReporter
from doce_slack.request_reporter import RequestReporter
from doce_slack.sessions import Session
from doce_slack.telling import Telling
from doce_slack.turn_reporter import TurnReporter
from doce_slack.workspaces import Do, Workspaces

logger = logging.getLogger(__name__)

#: A thread without news for so long is put aside until there are, seconds.
IDLE_S = 600.0
#: After a refusal, a lost line or a mistake of ours: 1, 2, 4 … s until the next try.
REST_S, MAX_REST_S = 1.0, 60.0
#: A thread of which nothing can be told any more: its root is gone.
HOPELESS = ("thread_not_found",)
#: A place where doce may not speak for now: it may be invited again, its token be made anew. The thread is put aside.
AWAY = (
    "channel_not_found", "is_archived", "not_in_channel", "account_inactive", "token_revoked", "token_expired", "invalid_auth",
    "not_authed", "missing_scope", "restricted_action", "restricted_action_thread_only_channel", "team_access_not_granted",
)  # fmt: skip


@dataclass(frozen=True)
class _Parts:
    """What tells, each its own."""

    on: Telling
    requests: RequestReporter
    turns: TurnReporter
    card: CardReporter
    deploys: DeployReporter


class Reporter:
    """Tells one thread. `wake` it when its project has news; `run` ends when nothing is left to tell ever."""

    def __init__(
        self, services: Services, workspaces: Workspaces, thread: Thread, do: Do, *, powers: Powers,
        pictures: Pictures, monotonic: Callable[[], float] = time.monotonic, sleep: Sleep = asyncio.sleep,
    ) -> None:  # fmt: skip
        """`sleep` rests after what went wrong."""
        self.services, self.workspaces, self.thread, self._do = services, workspaces, thread, do
        self._powers, self._pictures, self._monotonic, self._sleep = powers, pictures, monotonic, sleep
        #: Why it ended although there may be more to tell: Slack's word.
        self.put_aside: str | None = None
        self._woken = asyncio.Event()
        self._seq = thread.cursor
        #: An earlier doce may have told something of what is read now: what it left is looked at, not taken for granted.
        self._resumed = thread.root is not None
        self._told = thread.cursor
        self._parts: _Parts | None = None

    @property
    def woken(self) -> bool:
        return self._woken.is_set()

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        """Until the thread is closed or has been quiet for long. What goes wrong is logged, rested after, and tried again."""
        rest = 0.0
        with log_context(project_id=self.thread.project_id, operation="slack.thread"):
            while True:
                try:
                    if self._parts is None and not await self._enter():
                        return
                    if await self._round():
                        return
                    rest = 0.0
                except Refused as error:
                    if error.code in HOPELESS:
                        logger.warning("a thread can no longer be told: %s", error, extra={"thread_id": self.thread.id})
                        await self._do(self.services.chats.threads.close, self.thread.id)
                        return
                    if error.code in AWAY:
                        logger.warning("a thread is put aside: %s", error, extra={"thread_id": self.thread.id})
                        self.workspaces.forget(self.thread.team)
                        self.put_aside = error.code
                        return
                    logger.warning("Slack refused: %s", error, extra={"thread_id": self.thread.id, "answer": error.answer})
                    rest = min(MAX_REST_S, max(REST_S, 2 * rest))
                except Lost as error:
                    logger.warning("%s", error.message, extra={"thread_id": self.thread.id})
                    rest = min(MAX_REST_S, max(REST_S, 2 * rest))
                except Exception:  # a background task: the other threads still have to be told, and this one is tried again
                    logger.exception("a thread could not be told", extra={"thread_id": self.thread.id})
                    rest = min(MAX_REST_S, max(REST_S, 2 * rest))
                if rest:
                    await self._sleep(rest)

    async def _enter(self) -> bool:
        workspace = await self.workspaces.of(self.thread.team)
        if workspace is None:
            return False
        place = Place(self.thread, workspace, self.services.chats.messages, self._do)
        await place.open()
        powers, team = self._powers, self.thread.team
        session = Session(
            place, there=lambda: powers.has("sessions", team), missing=lambda code: powers.refused("sessions", team, code),
            monotonic=self._monotonic, status=None if self._resumed else "active",
        )  # fmt: skip
        on = Telling(self.services, self.thread, place, self._do, self._monotonic, self.wake)
        requests = RequestReporter(on)
        turns = TurnReporter(on, requests, session, powers=powers, pictures=self._pictures, read=self._read, resumed=self._resumed)
        self._parts = _Parts(on, requests, turns, CardReporter(on, requests), DeployReporter(on))
        return True

    # One round: read, tell what is due, wait

    async def _round(self) -> bool:
        assert self._parts
        parts = self._parts
        self._woken.clear()
        await self._read()
        if parts.on.place.root is None:
            await parts.card.tell()
        # What waits for somebody is asked before more text is sent, but below the message that it belongs to.
        await parts.requests.tell(begun=True)
        await parts.turns.tell()
        await parts.requests.tell()
        if parts.card.now:
            await parts.card.tell()
        await parts.deploys.tell()
        await self._settle(parts)
        if parts.card.deleted and not parts.on.open:
            await self._do(self.services.chats.threads.close, self.thread.id)
            return True
        return not self._woken.is_set() and await self._wait(parts)

    async def _wait(self, parts: _Parts) -> bool:
        """For news, or until something that waits may be sent. True: nothing came for long, and nothing is open."""
        pauses = parts.turns.pauses() + parts.card.pauses() + parts.deploys.pauses()
        try:
            # Not wait_for: news in the moment of a cancellation would swallow that.
            async with asyncio.timeout(min(pauses, default=IDLE_S)):
                await self._woken.wait()
        except TimeoutError:
            return not pauses and not parts.on.open and not self._woken.is_set()
        return False

    # Reading

    async def _read(self) -> None:
        assert self._parts
        self._parts.turns.round()
        while events := await self._do(log.after, self.thread.project_id, self._seq):
            for event in events:
                await self._take(self._parts, event)
            self._seq = events[-1].seq

    async def _take(self, parts: _Parts, event: Event) -> None:
        payload = said.known(event.type, event.payload)
        if payload is None:
            return
        if isinstance(payload, said.PromptQueued) and event.prompt_id:
            await parts.turns.begin(event)
        parts.turns.take(event)
        if isinstance(payload, said.PermissionRequested | said.QuestionRequested):
            if parts.turns.tells(event.prompt_id):
                parts.requests.ask(payload, event.prompt_id, event.seq)
        elif isinstance(payload, said.PermissionResolved | said.QuestionResolved):
            parts.requests.resolve(payload)
        elif isinstance(payload, said.ProductionStatus):
            parts.deploys.take(payload, event)
        elif isinstance(payload, said.ProjectDeleted):
            parts.card.deleted = True
        if event.type.startswith(("project.", "production.", "chat.prompt.", "chat.permission.", "chat.question.")):
            parts.card.due = True
        if isinstance(payload, said.ProjectStatusChanged):
            parts.turns.renew()

    async def _settle(self, parts: _Parts) -> None:
        """Everything before what is still open has been told."""
        cursor = min(parts.on.open.values(), default=self._seq + 1) - 1
        if cursor > self._told and not (parts.card.due and not parts.on.open):
            await self._do(self.services.chats.threads.told, self.thread.id, cursor)
            self._told = cursor
