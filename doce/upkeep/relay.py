"""The relay: one reader of a project's agent, whoever watches. Agent's stream → normalised → event log.

The stream is a hint, the message list is the truth: after each connect the two are compared and what the log lacks is
appended. A turn's end is found here, so a prompt completes with nobody watching.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from doce.clock import Clock
from doce.db import leases
from doce.db.choices import current
from doce.errors import DoceError
from doce.events import log as events
from doce.events.vocabulary import (
    PermissionRequested,
    PermissionResolved,
    QuestionRequested,
    QuestionResolved,
    parse,
)
from doce.events.writer import EventWriter, Pending
from doce.opencode.answers import ABORTED, error_of
from doce.opencode.client import OpenCode
from doce.opencode.normalize import normalize
from doce.opencode.resync import Logged, Snapshot, from_log, resync
from doce.opencode.state import Normalized, State
from doce.opencode.stream import Connected, follow
from doce.opencode.turns import Ended, turn_end
from doce.projects.prompts import PromptStore
from doce.projects.requests import answering
from doce.projects.stack import Stacks
from doce.projects.status import PromptState
from doce.projects.store import ProjectStore
from doce.projects.views import ProjectView, PromptView
from doce.settings import Settings

logger = logging.getLogger(__name__)

#: Upstream events after which a turn may have ended.
_TELLING = frozenset({"session.status", "session.idle", "session.error", "message.updated"})
#: A prompt that the agent took but does not know after this long was lost on the way.
_LOST_MS = 10_000
#: How long a prompt that was stopped at once may still be on its way to the agent, seconds.
UNHEARD_S = 1.0
_STATES = {
    "completed": PromptState.COMPLETED,
    "stopped": PromptState.STOPPED,
    "failed": PromptState.FAILED,
    "interrupted": PromptState.INTERRUPTED,
}
REFUSED_HINT = "Change the prompt or what is attached to it, and send it again."
RESUME_HINT = "What it did so far is kept. Say `go on` to continue."


@dataclass(frozen=True)
class Desk:
    """What a relay works with."""

    settings: Settings
    clock: Clock
    store: ProjectStore
    prompts: PromptStore
    stacks: Stacks
    writer: EventWriter


class Relay:
    """Reads the agent of one project until cancelled."""

    def __init__(self, desk: Desk, project: ProjectView) -> None:
        self._desk = desk
        self._project = project
        self._agent: OpenCode = desk.stacks.agent(project)
        self._prompt_ids: dict[str, str | None] = {}
        self._ended: set[str] = set()
        self._state = State()
        self._unheard: asyncio.Task[None] | None = None
        self._refusal: asyncio.Task[None] | None = None
        #: the prompt whose stop the agent was last told
        self._told_to_stop: str | None = None

    async def run(self) -> None:
        """Follow the stream; reconnects by itself. Ends only when cancelled."""
        self._state = await asyncio.to_thread(self._load)
        try:
            async for item in follow(self._agent):
                if isinstance(item, Connected):
                    await self._compare()
                else:
                    await self._take(item)
        finally:
            for task in (self._unheard, self._refusal):
                if task:
                    task.cancel()

    async def _take(self, event: Mapping[str, Any]) -> None:
        kind = event.get("type")
        told = normalize(self._state, event)
        refused = await asyncio.to_thread(self._refused, event) if kind == "session.error" else None
        if refused:
            self._refusal = asyncio.create_task(self._end_refused(*refused))
        else:
            self._put(told)
        if kind in _TELLING:
            await self._settle()
            if kind == "session.status" and event.get("properties", {}).get("status", {}).get("type") != "idle":
                await asyncio.to_thread(self._abort_if_wanted)
            elif kind == "message.updated":
                # The beginning of an answer.
                await asyncio.to_thread(self._abort_if_wanted, once=True)
            elif kind == "session.status" and (self._unheard is None or self._unheard.done()):
                # It rests: another abort would only make it say so again.
                self._unheard = asyncio.create_task(self._end_unheard())
        elif kind == "server.heartbeat":
            await self._settle()
            await asyncio.to_thread(self._settle_lost)
            await asyncio.to_thread(self._abort_if_wanted)

    def _refused(self, event: Mapping[str, Any]) -> tuple[PromptView, str] | None:
        """The prompt that an error is about when the agent took it and could not read it (a broken picture, say), and the error.

        No message of it will ever come, and what OpenCode calls the session's last one is another's.
        """
        prompt = self._desk.prompts.active(self._project.id)
        if prompt is None or prompt.message_id in self._state.turns:
            return None
        properties = event.get("properties", {})
        if properties.get("sessionID") != prompt.session_id or not isinstance(properties.get("error"), dict):
            return None
        name, message = error_of(properties["error"])
        return None if name == ABORTED else (prompt, message)

    async def _end_refused(self, prompt: PromptView, message: str) -> None:
        await asyncio.sleep(UNHEARD_S)
        if prompt.message_id not in self._state.turns:
            await asyncio.to_thread(self._desk.prompts.end, prompt.id, PromptState.FAILED, reason=message, hint=REFUSED_HINT)

    async def _end_unheard(self) -> None:
        """A stop so early that the agent never began to answer: it rests, and nothing else would tell the end of this prompt."""
        prompt = await asyncio.to_thread(self._desk.prompts.wants_stop, self._project.id)
        if prompt is None or prompt.state is not PromptState.SENT or self._is_answered(prompt.message_id):
            return
        await asyncio.sleep(UNHEARD_S)
        status = self._state.session(prompt.session_id).status if prompt.session_id else None
        if status in (None, "idle") and not self._is_answered(prompt.message_id):
            await asyncio.to_thread(self._desk.prompts.end, prompt.id, PromptState.INTERRUPTED)

    def _is_answered(self, message_id: str | None) -> bool:
        turn = self._state.turns.get(message_id or "")
        return turn is not None and bool(turn.answers)

    async def _compare(self) -> None:
        """After a gap: append what the log lacks."""
        project = await asyncio.to_thread(self._desk.store.get, self._project.id)
        if project.bootstrap_session_id is None:
            return
        snapshot = await asyncio.to_thread(self._snapshot, project.bootstrap_session_id)
        self._put(resync(self._state, snapshot))
        await self._settle()
        await asyncio.to_thread(self._settle_lost)
        await asyncio.to_thread(self._abort_if_wanted)

    def _snapshot(self, session_id: str) -> Snapshot:
        return self._agent.snapshot([session_id], known=self._state.final)

    def _put(self, told: Iterable[Normalized]) -> None:
        pending = [
            Pending(self._payload(one), self._project.id, one.session_id, self._prompt_of(one.turn), one.source_key)
            for one in told
            if self._ours(one)
        ]
        if pending:
            self._desk.writer.put(pending)

    def _ours(self, one: Normalized) -> bool:
        """The outcome of an answer that a person gives right now is logged by who carries it, with their name."""
        if isinstance(one.payload, PermissionResolved | QuestionResolved):
            return leases.holder(answering(one.payload.request_id), now_ms=self._desk.clock.now_ms()) is None
        return True

    def _payload(self, one: Normalized) -> Any:
        if isinstance(one.payload, PermissionRequested | QuestionRequested):
            expires = self._desk.clock.now_ms() + round(current(self._desk.settings, "question_timeout_s") * 1000)
            return one.payload.model_copy(update={"expires_at": expires})
        return one.payload

    def _prompt_of(self, message_id: str | None) -> str | None:
        """The prompt that a user message of OpenCode is."""
        if message_id is None:
            return None
        known = self._prompt_ids.get(message_id)
        if known is None:
            prompt = self._desk.prompts.by_message(self._project.id, message_id)
            known = self._prompt_ids[message_id] = prompt.id if prompt else None
        return known

    async def _settle(self) -> None:
        """End the prompts whose turns have ended, after everything they said is in the log."""
        for message_id in [turn for turn in self._state.turns if turn not in self._ended]:
            ended = turn_end(self._state, message_id)
            if ended is None:
                continue
            self._ended.add(message_id)
            prompt_id = self._prompt_of(message_id)
            if prompt_id:
                await asyncio.to_thread(self._end, prompt_id, ended)

    def _end(self, prompt_id: str, ended: Ended) -> None:
        self._desk.writer.wait()
        hint = RESUME_HINT if ended.kind == "interrupted" else None
        self._desk.prompts.end(prompt_id, _STATES[ended.kind], reason=ended.error, hint=hint)

    def _settle_lost(self) -> None:
        """A prompt that the agent took and then forgot (killed before it wrote it down) would wait for ever."""
        active = self._desk.prompts.active(self._project.id)
        if active is None or active.state is not PromptState.SENT or active.message_id in self._state.turns:
            return
        if self._desk.clock.now_ms() - (active.sent_at or 0) > _LOST_MS:
            self._desk.prompts.end(
                active.id, PromptState.INTERRUPTED, reason="The agent was restarted before it began.", hint="Send the prompt again."
            )

    def _abort_if_wanted(self, once: bool = False) -> None:
        """A stop that came while the prompt was on its way reaches the agent as soon as it answers; `once`: if it was not told yet."""
        prompt = self._desk.prompts.wants_stop(self._project.id)
        if prompt is None or prompt.session_id is None or (once and prompt.id == self._told_to_stop):
            return
        # Before its first answer it may still be getting ready, which an abort would break for good.
        if not self._is_answered(prompt.message_id):
            return
        self._told_to_stop = prompt.id
        try:
            self._agent.abort(prompt.session_id)
        except DoceError as error:
            logger.warning("the agent could not be asked to stop", extra={"project_id": self._project.id, "cause": str(error)})

    def _load(self) -> State:
        """What the log has of this project, as the normaliser remembers it."""
        turns: dict[str | None, str | None] = {None: None}

        def logged() -> Iterable[Logged]:
            for event in events.all_after(self._project.id):
                if not event.type.startswith("chat.") or event.type.startswith("chat.prompt."):
                    continue
                if event.prompt_id not in turns:
                    prompt = self._desk.prompts.get(event.prompt_id or "")
                    turns[event.prompt_id] = prompt.message_id
                yield Logged(parse(event.type, event.payload), event.session_id, turns[event.prompt_id], event.source_key)

        roots = [self._project.bootstrap_session_id] if self._project.bootstrap_session_id else []
        return from_log(logged(), workspaces=(str(self._desk.stacks.of(self._project).workspace),), roots=roots)
