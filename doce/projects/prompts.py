"""Prompts: what people ask of a project's agent, in order, each sent once.

A prompt waits in doce, not in the agent, so it can be edited, removed or moved to the front. One prompt a project is
with the agent at a time. How a turn ends is decided here, in one transaction that also lets the next one go.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

import peewee as pw

from doce.clock import Clock
from doce.db.connection import database
from doce.db.ids import new_id
from doce.db.models import Attachment, Prompt
from doce.errors import BadRequest, Conflict, NotFound
from doce.events import log as events
from doce.events.vocabulary import (
    Payload,
    PromptCompleted,
    PromptEdited,
    PromptFailed,
    PromptInterrupted,
    PromptQueued,
    PromptSent,
    PromptStopped,
    Tokens,
)
from doce.projects.status import ACTIVE, PROMPT_TRANSITIONS, PromptState
from doce.projects.views import AttachmentView, Page, PromptView
from doce.queue.enqueue import enqueue
from doce.queue.types import OpencodeSendUserPrompt

MAX_PROMPT = 32_000


def checked_text(text: str) -> str:
    """`text` as it may be sent to an agent. Raises BadRequest for an empty, too long or binary one."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    if not text:
        raise BadRequest("The prompt is empty.", hint="Say in a sentence what you want, for example: a portfolio for a ceramicist.")
    if len(text) > MAX_PROMPT:
        raise BadRequest(
            f"The prompt has {len(text):,} characters; {MAX_PROMPT:,} is the most.",
            hint="Shorten it, or attach the long part as a text file.",
        )
    for place, character in enumerate(text):
        if unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\t":
            raise BadRequest(
                f"The prompt has a character that is not text (U+{ord(character):04X} at {place + 1}).",
                hint="Remove it and send the prompt again.",
            )
    return text


class PromptStore:
    """Reads and changes prompt rows; every change of state is an event in the same transaction."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def add(
        self, project_id: str, user_id: str | None, text: str, *, model: str | None = None, attachment_ids: Sequence[str] = ()
    ) -> PromptView:
        """A new prompt at the end of the queue. `text` has been checked."""
        with database.atomic():
            last = Prompt.select(pw.fn.MAX(Prompt.position)).where(Prompt.project_id == project_id).scalar() or 0
            prompt_id = new_id("prm")
            waiting = Prompt.select().where(Prompt.project_id == project_id, Prompt.state == PromptState.QUEUED.value).count()
            seq = events.append(PromptQueued(text=text, position=waiting + 1), project_id=project_id, prompt_id=prompt_id)
            row = Prompt.create(
                id=prompt_id,
                project_id=project_id,
                user_id=user_id,
                text=text,
                model=model,
                state=PromptState.QUEUED.value,
                position=last + 1,
                seq=seq,
                created_at=self._clock.now_ms(),
            )
            for attachment_id in attachment_ids:
                Attachment.update(prompt_id=row.id).where(Attachment.id == attachment_id, Attachment.project_id == project_id).execute()
        return _with_files([row])[0]

    def get(self, prompt_id: str) -> PromptView:
        """Raises NotFound."""
        row = Prompt.get_or_none(Prompt.id == prompt_id)
        if row is None:
            raise NotFound("There is no such prompt.", hint="It may have been removed with its project.")
        return _with_files([row])[0]

    def by_message(self, project_id: str, message_id: str) -> PromptView | None:
        """The prompt that was sent under OpenCode's `message_id`."""
        row = Prompt.get_or_none(Prompt.project_id == project_id, Prompt.message_id == message_id)
        return _view(row) if row else None

    def active(self, project_id: str) -> PromptView | None:
        """The one the agent has, or is being given."""
        row = Prompt.get_or_none(Prompt.project_id == project_id, Prompt.state.in_([state.value for state in ACTIVE]))
        return _view(row) if row else None

    def next(self, project_id: str) -> PromptView | None:
        """The oldest that waits."""
        waiting = Prompt.select().where(Prompt.project_id == project_id, Prompt.state == PromptState.QUEUED.value)
        row = waiting.order_by(Prompt.position).first()
        return _view(row) if row else None

    def last_message_id(self, project_id: str) -> str | None:
        """The highest message id doce has minted for this project."""
        found = Prompt.select(pw.fn.MAX(Prompt.message_id)).where(Prompt.project_id == project_id).scalar()
        return str(found) if found else None

    def page(self, project_id: str, limit: int, before: str | None) -> Page[PromptView]:
        """The latest first."""
        query = Prompt.select().where(Prompt.project_id == project_id)
        if before:
            query = query.where(Prompt.position < int(before))
        rows = list(query.order_by(Prompt.position.desc()).limit(limit + 1))
        return Page(items=_with_files(rows[:limit]), next=str(rows[limit - 1].position) if len(rows) > limit else None)

    def edit(self, prompt_id: str, text: str) -> PromptView:
        """Another text for one that still waits. Raises Conflict when it no longer does."""
        with database.atomic():
            row = self._waiting(prompt_id)
            row.text = text
            row.save(only=[Prompt.text])
            events.append(PromptEdited(text=text), project_id=row.project_id, prompt_id=row.id)
        return _view(row)

    def remove(self, prompt_id: str) -> PromptView:
        """Take one that still waits out of the queue."""
        with database.atomic():
            row = self._waiting(prompt_id)
            self._move(row, PromptState.REMOVED)
            events.append(PromptEdited(), project_id=row.project_id, prompt_id=row.id)
        return _view(row)

    def to_front(self, prompt_id: str) -> PromptView:
        """Make one that still waits the next."""
        with database.atomic():
            row = self._waiting(prompt_id)
            first = (
                Prompt.select(pw.fn.MIN(Prompt.position))
                .where(Prompt.project_id == row.project_id, Prompt.state == PromptState.QUEUED.value)
                .scalar()
            )
            row.position = first - 1
            row.save(only=[Prompt.position])
        return _view(row)

    def intend(self, prompt_id: str, *, message_id: str, session_id: str) -> PromptView:
        """Record, before the call, under which id it will be sent."""
        with database.atomic():
            row = Prompt.get_by_id(prompt_id)
            row.message_id, row.session_id, row.sent_at = message_id, session_id, self._clock.now_ms()
            self._move(row, PromptState.SENDING)
        return _view(row)

    def mark_sent(self, prompt_id: str) -> PromptView:
        """The agent has it. One whose turn has already ended stays as it is."""
        with database.atomic():
            row = Prompt.get_by_id(prompt_id)
            if row.state == PromptState.SENDING:
                self._move(row, PromptState.SENT)
                payload = PromptSent(message_id=row.message_id or "", text=row.text)
                events.append(payload, project_id=row.project_id, session_id=row.session_id, prompt_id=row.id, source_key=f"{row.id}:sent")
        return _view(row)

    def request_stop(self, prompt_id: str, user_id: str | None) -> PromptView:
        """Remember that a person wants this turn to end, before the agent is told."""
        with database.atomic():
            row = Prompt.get_by_id(prompt_id)
            if PromptState(row.state) in ACTIVE and not row.stop_requested_at:
                row.stop_requested_at, row.stopped_by = self._clock.now_ms(), user_id
                row.save(only=[Prompt.stop_requested_at, Prompt.stopped_by])
        return _view(row)

    def wants_stop(self, project_id: str) -> PromptView | None:
        """The active prompt, if a person asked for it to end."""
        row = Prompt.get_or_none(
            Prompt.project_id == project_id, Prompt.state.in_([state.value for state in ACTIVE]), Prompt.stop_requested_at.is_null(False)
        )
        return _view(row) if row else None

    def end(self, prompt_id: str, state: PromptState, *, reason: str | None = None, hint: str | None = None) -> bool:
        """The turn is over: one transaction ends it and lets the next prompt go. False when it had ended before.

        An end that a person asked for is `stopped`, whatever the agent called it.
        """
        with database.atomic():
            row = Prompt.get_or_none(Prompt.id == prompt_id)
            if row is None or state not in PROMPT_TRANSITIONS[PromptState(row.state)]:
                return False
            if row.state == PromptState.SENDING and state is not PromptState.INTERRUPTED:
                self.mark_sent(prompt_id)
                row = Prompt.get_by_id(prompt_id)
            if row.stop_requested_at and state is not PromptState.COMPLETED:
                state, reason = PromptState.STOPPED, None
            row.error, row.finished_at = reason, self._clock.now_ms()
            self._move(row, state)
            payload = self._end_payload(row, state, reason, hint)
            events.append(payload, project_id=row.project_id, session_id=row.session_id, prompt_id=row.id, source_key=f"{row.id}:end")
            # Also with an empty queue: the job keeps the workspace as the turn left it.
            enqueue(OpencodeSendUserPrompt(project_id=row.project_id), user_id=row.user_id, clock=self._clock)
        return True

    def _end_payload(self, row: Prompt, state: PromptState, reason: str | None, hint: str | None) -> Payload:
        if state is PromptState.COMPLETED:
            return self._completed(row)
        if state is PromptState.STOPPED:
            return PromptStopped(by=row.stopped_by)
        if state is PromptState.INTERRUPTED:
            return PromptInterrupted(reason=reason or "The agent stopped in the middle of the turn.", hint=hint)
        return PromptFailed(error=reason or "The agent ended the turn with an error.", hint=hint)

    def _completed(self, row: Prompt) -> PromptCompleted:
        """What the turn came to, read from the log."""
        files: dict[str, None] = {}
        tokens = Tokens()
        cost = 0.0
        for event in events.of_prompt(row.project_id, row.id, ("chat.file.changed", "chat.message.final"), row.seq):
            payload = event.payload
            if event.type == "chat.file.changed":
                files[payload["path"]] = None
            else:
                counted = Tokens.model_validate(payload.get("tokens", {}))
                tokens = Tokens(**{name: getattr(tokens, name) + getattr(counted, name) for name in Tokens.model_fields})
                cost += payload.get("cost", 0)
        return PromptCompleted(
            duration_ms=self._clock.now_ms() - (row.sent_at or row.created_at), files=list(files), tokens=tokens, cost=cost
        )

    def _waiting(self, prompt_id: str) -> Prompt:
        row = Prompt.get_or_none(Prompt.id == prompt_id)
        if row is None:
            raise NotFound("There is no such prompt.")
        if row.state != PromptState.QUEUED:
            raise Conflict("This prompt no longer waits; the agent has it.", hint="Send another one, or stop the turn.")
        assert isinstance(row, Prompt)
        return row

    def _move(self, row: Prompt, state: PromptState) -> None:
        current = PromptState(row.state)
        if state not in PROMPT_TRANSITIONS[current]:
            raise Conflict(f"The prompt is {current.value}; it cannot become {state.value}.")
        row.state = state.value
        row.save()


def _view(row: Any) -> PromptView:
    return PromptView(**{name: getattr(row, name) for name in PromptView.model_fields if name != "attachments"})


def _with_files(rows: Sequence[Any]) -> list[PromptView]:
    """With the files that came with each, in one look for all."""
    files: dict[str, list[AttachmentView]] = {row.id: [] for row in rows}
    if rows:
        for file in Attachment.select().where(Attachment.prompt_id.in_(list(files))).order_by(Attachment.id):
            files[str(file.prompt_id)].append(AttachmentView(id=file.id, name=file.name, mime=file.mime, size=file.size))
    return [_view(row).model_copy(update={"attachments": files[row.id]}) for row in rows]
