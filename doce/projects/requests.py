"""Permissions and questions: what agents ask of people. They live in the log, so they survive a restart.

The first answer wins, whichever door it came through; a lease row decides, and names who it was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Literal

from doce.clock import Clock
from doce.db import leases
from doce.db.ids import new_id
from doce.errors import BadRequest, Conflict, DoceError, NotFound
from doce.events import log as events
from doce.events.vocabulary import (
    PermissionRequested,
    PermissionResolved,
    QuestionRequested,
    QuestionResolved,
    parse,
)
from doce.opencode.client import OpenCode
from doce.opencode.normalize import resolved_key
from doce.projects.store import ProjectStore

logger = logging.getLogger(__name__)

#: How long an answer may take to reach the agent and come back, ms.
ANSWER_MS = 60_000
REQUESTS = ("chat.permission.requested", "chat.permission.resolved", "chat.question.requested", "chat.question.resolved")


def answering(request_id: str) -> str:
    """The lease held while an answer is on its way; who holds it also logs the outcome."""
    return f"answer:{request_id}"


class Requests:
    """What waits for an answer, and the answers."""

    def __init__(self, clock: Clock, *, store: ProjectStore, agent: Callable[[str], OpenCode]) -> None:
        self._clock = clock
        self._store = store
        self._agent = agent

    def pending(self, project_id: str) -> list[PermissionRequested | QuestionRequested]:
        """What waits, oldest first."""
        waiting: dict[str, PermissionRequested | QuestionRequested] = {}
        for event in events.of_types(project_id, REQUESTS):
            payload = parse(event.type, event.payload)
            if isinstance(payload, PermissionRequested | QuestionRequested):
                waiting[payload.request_id] = payload
            elif isinstance(payload, PermissionResolved | QuestionResolved):
                waiting.pop(payload.request_id, None)
        return list(waiting.values())

    def answer_permission(
        self,
        project_id: str,
        request_id: str,
        reply: Literal["once", "always", "reject"],
        user_id: str | None,
        message: str | None = None,
    ) -> None:
        """Allow once, allow always in this session, or refuse (with `message`: say what to do instead, and the turn goes on).

        Raises NotFound when nothing of that id was asked, Conflict when it was answered, Unavailable when the agent is away.
        """
        self._waiting(project_id, request_id, PermissionRequested)
        self._answer(
            project_id,
            request_id,
            user_id,
            lambda agent: agent.reply_permission(request_id, reply, message),
            PermissionResolved(request_id=request_id, reply=reply, by=user_id),
        )

    def answer_question(self, project_id: str, request_id: str, answers: Sequence[Sequence[str]], user_id: str | None) -> None:
        """Answer every question of the request: for each the chosen labels or own words."""
        asked = self._waiting(project_id, request_id, QuestionRequested)
        assert isinstance(asked, QuestionRequested)
        if len(answers) != len(asked.questions) or not all(any(word.strip() for word in answer) for answer in answers):
            raise BadRequest(f"There are {len(asked.questions)} questions; answer each.", hint="One list of answers for each question.")
        chosen = [[word.strip() for word in answer if word.strip()] for answer in answers]
        self._answer(
            project_id,
            request_id,
            user_id,
            lambda agent: agent.reply_question(request_id, chosen),
            QuestionResolved(request_id=request_id, reply="answered", answers=chosen, by=user_id),
        )

    def reject_question(self, project_id: str, request_id: str, user_id: str | None) -> None:
        """Refuse to answer; the turn stops there."""
        self._waiting(project_id, request_id, QuestionRequested)
        self._answer(
            project_id,
            request_id,
            user_id,
            lambda agent: agent.reject_question(request_id),
            QuestionResolved(request_id=request_id, reply="rejected", by=user_id),
        )

    def expire(self, project_id: str) -> int:
        """Refuse what waited too long, and say that it was the time-out. Returns how many."""
        late = [asked for asked in self.pending(project_id) if (asked.expires_at or 0) and asked.expires_at <= self._clock.now_ms()]
        for asked in late:
            try:
                self._expire(project_id, asked)
            except DoceError as error:
                logger.warning("a request could not be timed out", extra={"project_id": project_id, "cause": str(error)})
        return len(late)

    def _expire(self, project_id: str, asked: PermissionRequested | QuestionRequested) -> None:
        request_id = asked.request_id
        resolved: PermissionResolved | QuestionResolved
        if isinstance(asked, PermissionRequested):
            resolved = PermissionResolved(request_id=request_id, reply="timeout")
            self._answer(project_id, request_id, None, lambda agent: agent.reply_permission(request_id, "reject", _TIMED_OUT), resolved)
        else:
            resolved = QuestionResolved(request_id=request_id, reply="timeout")
            self._answer(project_id, request_id, None, lambda agent: agent.reject_question(request_id), resolved)

    def _waiting(self, project_id: str, request_id: str, kind: type) -> PermissionRequested | QuestionRequested:
        told = [parse(event.type, event.payload) for event in events.of_types(project_id, REQUESTS)]
        about = [payload for payload in told if getattr(payload, "request_id", None) == request_id]
        for payload in about:
            if isinstance(payload, PermissionResolved | QuestionResolved):
                raise Conflict(f"This was already answered: {payload.reply}.")
        for payload in about:
            if isinstance(payload, kind) and isinstance(payload, PermissionRequested | QuestionRequested):
                return payload
        raise NotFound("Nothing of that id is being asked.", hint="It may have been answered or stopped.")

    def _answer(
        self,
        project_id: str,
        request_id: str,
        user_id: str | None,
        send: Callable[[OpenCode], object],
        resolved: PermissionResolved | QuestionResolved,
    ) -> None:
        name = answering(request_id)
        # A holder of its own for each call: the same person clicking twice is two answers too.
        claim = new_id("answer")
        if not leases.hold(name, claim, now_ms=self._clock.now_ms(), ttl_ms=ANSWER_MS):
            raise Conflict("This was already answered.")
        try:
            send(self._agent(project_id))
        except NotFound:
            resolved = resolved.model_copy(update={"reply": "gone", "by": None})
        except DoceError:
            leases.release(name, claim)
            raise
        project = self._store.get(project_id)
        events.append(resolved, project_id=project_id, session_id=project.bootstrap_session_id, source_key=resolved_key(request_id))
        if resolved.reply == "gone":
            raise Conflict("The agent no longer waits for this answer.", hint="It was answered elsewhere, or the turn was stopped.")


_TIMED_OUT = "Nobody answered in time. Go on without it if you can, otherwise say what you would need."
