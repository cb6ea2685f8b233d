"""The event writer: takes the flood that agents relay and commits it in groups.

No timer: the thread takes whatever arrived since its last commit, so an idle log shows a piece of text within a
millisecond or two and a flood costs one transaction a batch. Neighbouring pieces of one part are joined first.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import peewee

from doce.db.connection import connect
from doce.errors import Unavailable
from doce.events import log
from doce.events.vocabulary import MessagePartAdded, Payload, ReasoningPart

logger = logging.getLogger(__name__)

#: Events held in memory while the disk refuses them; beyond that the relay is told to wait.
MAX_PENDING = 200_000
#: Longest text of one joined piece, in characters.
MAX_JOINED = 8_000


@dataclass(frozen=True, slots=True)
class Pending:
    """An event on its way into the log."""

    payload: Payload
    project_id: str
    session_id: str | None = None
    prompt_id: str | None = None
    source_key: str | None = None
    at: int = 0


class EventWriter:
    """One thread with a connection of its own (`synchronous=NORMAL`: survives kill -9)."""

    def __init__(self, database_file: Path) -> None:
        self._db = connect(database_file, "NORMAL")
        self._pending: deque[Pending] = deque()
        self._changed = threading.Condition()
        self._put = self._committed = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="doce-event-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, events: Iterable[Pending]) -> int:
        """Hand events over, in order; returns a ticket for `wait`. Raises Unavailable when the log cannot keep up."""
        with self._changed:
            if len(self._pending) > MAX_PENDING:
                raise Unavailable("The event log cannot be written.", hint="Free some disk space; doce goes on by itself.")
            before = len(self._pending)
            self._pending.extend(events)
            self._put += len(self._pending) - before
            self._changed.notify_all()
            return self._put

    def wait(self, ticket: int | None = None, timeout_s: float = 30) -> None:
        """Until everything up to `ticket` (all so far) is durable. Raises Unavailable after `timeout_s`."""
        with self._changed:
            target = self._put if ticket is None else ticket
            if not self._changed.wait_for(lambda: self._committed >= target, timeout_s):
                raise Unavailable("The event log cannot be written.", hint="Free some disk space; doce goes on by itself.")

    def close(self) -> None:
        """Commit what is pending and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        try:
            while batch := self._take():
                self._commit_with_patience(batch)
        finally:
            self._db.close()

    def _take(self) -> list[Pending]:
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._closed)
            batch = list(self._pending)
            self._pending.clear()
            return batch

    def _commit_with_patience(self, batch: list[Pending]) -> None:
        """A full disk or a locked file is waited for: the events stay in memory, in order."""
        while True:
            try:
                self._commit(batch)
                break
            except (peewee.DatabaseError, OSError, Unavailable) as error:
                logger.error("the event log cannot be written, trying again", extra={"cause": str(error), "pending": len(batch)})
                with self._changed:
                    if self._closed or self._changed.wait_for(lambda: self._closed, timeout=1):
                        return
        with self._changed:
            self._committed += len(batch)
            self._changed.notify_all()
        log.bell.ring()

    def _commit(self, batch: list[Pending]) -> None:
        now = time.time_ns() // 1_000_000
        with self._db.atomic():
            for event in joined(batch):
                row = (
                    event.project_id,
                    event.payload.type,
                    event.session_id,
                    event.prompt_id,
                    log.encode(event.payload),
                    event.source_key,
                    event.at or now,
                )
                self._db.execute_sql(log.INSERT, row)


def joined(batch: Iterable[Pending]) -> Iterable[Pending]:
    """`batch` with neighbouring pieces of one part made one."""
    last: Pending | None = None
    texts: list[str] = []
    size = 0
    for event in batch:
        if last is not None and _continues(last, size, event):
            text = event.payload.delta_text  # type: ignore[attr-defined]
            texts.append(text)
            size += len(text)
            continue
        if last is not None:
            yield _with_text(last, texts)
        last, texts = event, []
        if isinstance(event.payload, MessagePartAdded | ReasoningPart):
            texts, size = [event.payload.delta_text], len(event.payload.delta_text)
    if last is not None:
        yield _with_text(last, texts)


def _continues(last: Pending, size: int, event: Pending) -> bool:
    one, two = last.payload, event.payload
    return (
        isinstance(one, MessagePartAdded | ReasoningPart)
        and isinstance(two, MessagePartAdded | ReasoningPart)
        and type(one) is type(two)
        and one.part_id == two.part_id
        and last.project_id == event.project_id
        and one.offset + size == two.offset
        and size < MAX_JOINED
    )


def _with_text(event: Pending, texts: list[str]) -> Pending:
    if len(texts) < 2:
        return event
    return replace(event, payload=event.payload.model_copy(update={"delta_text": "".join(texts)}))
