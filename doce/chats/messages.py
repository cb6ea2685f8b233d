"""doce's own messages in threads. A row is written before a message is posted: what a crash leaves in between is looked up, not
posted again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from doce.chats.threads import Threads
from doce.clock import Clock
from doce.db.connection import database
from doce.db.ids import new_id
from doce.db.models import ChatMessage, ChatThread

Mode = Literal["stream", "post"]
CARD = "card"


@dataclass(frozen=True, slots=True)
class Message:
    """A message. `about` says what it shows, `part` which piece of it; `covered` characters of its text are in earlier parts."""

    id: str
    thread_id: str
    about: str
    part: int
    mode: Mode
    state: Literal["posting", "open", "closed"]
    ts: str | None
    covered: int
    #: epoch ms
    created_at: int


class Messages:
    """Finds and changes."""

    def __init__(self, clock: Clock, threads: Threads) -> None:
        self._clock = clock
        self._threads = threads

    def of(self, thread_id: str) -> dict[str, list[Message]]:
        """All of a thread's, by what they are about, part by part."""
        found: dict[str, list[Message]] = {}
        for row in ChatMessage.select().where(ChatMessage.thread_id == thread_id).order_by(ChatMessage.about, ChatMessage.part):
            found.setdefault(row.about, []).append(_message(row))
        return found

    def at(self, thread_id: str, ts: str) -> Message | None:
        """The one posted as `ts`."""
        row = ChatMessage.get_or_none(ChatMessage.thread_id == thread_id, ChatMessage.ts == ts)
        return _message(row) if row else None

    def find(self, kind: str, team: str, channel: str, ts: str) -> Message | None:
        """The one posted as `ts` in a channel, whatever thread it is in."""
        query = ChatMessage.select().join(ChatThread, on=(ChatThread.id == ChatMessage.thread_id))
        there = (ChatThread.kind == kind) & (ChatThread.team == team) & (ChatThread.channel == channel) & ChatThread.root.is_null(False)
        row = query.where(there, ChatMessage.ts == ts).first()
        return _message(row) if row else None

    def intend(self, thread_id: str, about: str, *, part: int = 0, mode: Mode = "post", covered: int = 0) -> Message:
        """It is about to be posted. The same one again when it was intended before."""
        with database.atomic():
            made = ChatMessage.insert(
                id=new_id("msg"), thread_id=thread_id, about=about, part=part, mode=mode, state="posting", covered=covered,
                created_at=self._clock.now_ms(),
            )  # fmt: skip
            made.on_conflict_ignore().execute()
            return _message(ChatMessage.get(ChatMessage.thread_id == thread_id, ChatMessage.about == about, ChatMessage.part == part))

    def placed(self, message: Message, ts: str, *, closed: bool = False) -> Message:
        """It is posted as `ts`; the first one of a thread without a root becomes that."""
        return self._change(message, ts=ts, state="closed" if closed else "open")

    def rewritten(self, message: Message, mode: Mode) -> Message:
        """It goes on in another way."""
        return self._change(message, mode=mode)

    def closed(self, message: Message) -> Message:
        """It says its last."""
        return self._change(message, state="closed")

    def _change(self, message: Message, **columns: Any) -> Message:
        with database.atomic():
            ChatMessage.update(**columns).where(ChatMessage.id == message.id).execute()
            if message.about == CARD and "ts" in columns:
                self._threads.placed(message.thread_id, columns["ts"])
            return _message(ChatMessage.get_by_id(message.id))


def _message(row: Any) -> Message:
    return Message(**{name: getattr(row, name) for name in Message.__slots__})
