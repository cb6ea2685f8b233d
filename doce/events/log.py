"""The event log: append, read after a cursor. One table, one order, nothing forgotten by accident.

An event that reports a change of a row is appended in that row's transaction, so either both are there or neither.
Readers are woken after the commit, never before.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from doce.db.connection import database
from doce.events.vocabulary import Payload

COLUMNS = "seq, project_id, type, session_id, prompt_id, payload, at, source_key"


@dataclass(frozen=True, slots=True)
class Event:
    """One row of the log. `seq` only grows; `at` is epoch ms; `payload_json` is the payload as it is stored."""

    seq: int
    project_id: str | None
    type: str
    session_id: str | None
    prompt_id: str | None
    payload_json: str
    at: int
    #: Names the fact within its project, so that it is logged once.
    source_key: str | None = None

    @property
    def time(self) -> int:
        """`at`, as the envelope calls it."""
        return self.at

    @property
    def payload(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.payload_json)
        return loaded

    def envelope(self) -> dict[str, Any]:
        """``{seq, type, projectId, sessionId?, promptId?, time, payload}``."""
        found: dict[str, Any] = json.loads(self.json())
        return found

    def json(self) -> str:
        """The envelope as text. The payload is stored as JSON and not parsed again on its way out."""
        head = {"seq": self.seq, "type": self.type, "projectId": self.project_id, "sessionId": self.session_id, "promptId": self.prompt_id}
        fields = json.dumps({key: value for key, value in head.items() if value is not None}, separators=(",", ":"))
        return f'{fields[:-1]},"time":{self.at},"payload":{self.payload_json}}}'

    def frame(self) -> bytes:
        """As one server-sent event."""
        return f"id: {self.seq}\nevent: chat.event\ndata: {self.json()}\n\n".encode()


class Bell:
    """Tells readers of this process that the log has grown. Rung after commits, from any thread."""

    def __init__(self) -> None:
        self._listeners: tuple[Callable[[], None], ...] = ()

    def listen(self, ring: Callable[[], None]) -> Callable[[], None]:
        """Call `ring` at every growth of the log, in the thread that committed; returns what ends it."""
        self._listeners = (*self._listeners, ring)
        return lambda: setattr(self, "_listeners", tuple(heard for heard in self._listeners if heard is not ring))

    def ring(self) -> None:
        for listener in self._listeners:
            listener()


bell = Bell()


def encode(payload: Payload) -> str:
    """A payload as the log stores it. ASCII only, so that an SSE line never contains a newline of any kind."""
    return payload.model_dump_json(by_alias=True, exclude_none=True, ensure_ascii=True)


def append(
    payload: Payload,
    *,
    project_id: str | None = None,
    session_id: str | None = None,
    prompt_id: str | None = None,
    source_key: str | None = None,
    at: int | None = None,
) -> int:
    """Append in the caller's transaction (or one of its own); returns `seq`.

    With a `source_key` the same fact is logged once a project: a second append returns the first one's `seq`.
    """
    row = (project_id, payload.type, session_id, prompt_id, encode(payload), source_key, at or time.time_ns() // 1_000_000)
    # One statement needs no savepoint of its own inside the caller's transaction, and every change of a job comes here.
    with nullcontext() if database.transaction_depth() else database.atomic():
        cursor = database.execute_sql(INSERT, row)
        if cursor.rowcount == 1:
            seq = int(cursor.lastrowid)
        else:
            found = database.execute_sql("SELECT seq FROM events WHERE project_id IS ? AND source_key = ?", (project_id, source_key))
            seq = int(found.fetchone()[0])
        database.after_commit(bell.ring)
    return seq


INSERT = (
    "INSERT INTO events (project_id, type, session_id, prompt_id, payload, source_key, at) VALUES (?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT DO NOTHING"
)


def after(project_id: str | None, seq: int, limit: int = 1000) -> list[Event]:
    """Up to `limit` events of a project (None: of all) that come after `seq`, oldest first."""
    if project_id is None:
        sql, values = f"SELECT {COLUMNS} FROM events WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit)
        return [Event(*row) for row in database.execute_sql(sql, values).fetchall()]
    sql = f"SELECT {COLUMNS} FROM events WHERE project_id = ? AND seq > ? ORDER BY seq LIMIT ?"
    return [Event(*row) for row in database.execute_sql(sql, (project_id, seq, limit)).fetchall()]


def all_after(project_id: str | None, seq: int = 0) -> Iterator[Event]:
    """Every event after `seq`, a page at a time."""
    while page := after(project_id, seq):
        yield from page
        seq = page[-1].seq


#: The types that the index `event_type` leaves out, written as it says it: SQLite compares the text.
_FLOODS = ("job.state", "chat.message.part.added", "chat.reasoning.part")
_NO_FLOOD = "type NOT IN ('job.state', 'chat.message.part.added', 'chat.reasoning.part')"


def of_types(project_id: str, types: tuple[str, ...], seq: int = 0) -> list[Event]:
    """Every event of a project of these types after `seq`, oldest first."""
    marks = ", ".join("?" * len(types))
    # Named, because the planner, left alone, reads the whole project to spare itself a sort.
    source, rare = ("events", "") if set(types) & set(_FLOODS) else ("events INDEXED BY event_type", f"AND {_NO_FLOOD} ")
    sql = f"SELECT {COLUMNS} FROM {source} WHERE project_id = ? AND seq > ? AND type IN ({marks}) {rare}ORDER BY seq"
    return [Event(*row) for row in database.execute_sql(sql, (project_id, seq, *types)).fetchall()]


def job_states(seq: int, until: int) -> list[Event]:
    """Every ``job.state`` of all projects after `seq` up to `until`, oldest first. Reads everything between: ask for a stretch."""
    sql = f"SELECT {COLUMNS} FROM events WHERE seq > ? AND seq <= ? AND type = 'job.state' ORDER BY seq"
    return [Event(*row) for row in database.execute_sql(sql, (seq, until)).fetchall()]


def of_prompt(project_id: str, prompt_id: str, types: tuple[str, ...], seq: int = 0) -> list[Event]:
    """Events of one turn of these types after `seq`, oldest first."""
    return [event for event in of_types(project_id, types, seq) if event.prompt_id == prompt_id]


def head() -> int:
    """The last `seq` ever given, also when its event was pruned since."""
    row = database.execute_sql("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    return int(row[0]) if row else 0


def last_seq(project_id: str | None) -> int:
    """The last event of a project that is in the log; 0 when there is none."""
    if project_id is None:
        return head()
    row = database.execute_sql("SELECT max(seq) FROM events WHERE project_id = ?", (project_id,)).fetchone()
    return int(row[0] or 0)


def prune_counts(before_ms: int) -> int:
    """Drop how many watched before `before_ms`: nobody asks any more. Returns how many."""
    return int(database.execute_sql("DELETE FROM events WHERE type = 'viewer.count' AND at < ?", (before_ms,)).rowcount)


def prune_deltas(before_ms: int, limit: int = 20_000) -> int:
    """Drop pieces of messages that ended before `before_ms`: their `final` holds the text. Returns how many."""
    sql = """
        DELETE FROM events WHERE seq IN (
            SELECT piece.seq FROM events piece
              JOIN events final ON final.project_id = piece.project_id AND final.seq > piece.seq
               AND final.source_key = json_extract(piece.payload, '$.messageId') || ':final'
             WHERE piece.type = 'chat.message.part.added' AND piece.at < ? AND final.at < ? LIMIT ?)
    """
    return int(database.execute_sql(sql, (before_ms, before_ms, limit)).rowcount)
