"""Cursors into doce's streams: where a reader is, and how it goes on after a cut with no gap and no double."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

from httpx_sse import ServerSentEvent

from doce.clock import Clock, SystemClock
from doce.errors import DoceError, RateLimited, Unavailable
from doce.events import vocabulary

Item = TypeVar("Item", covariant=True)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `seq` only grows; `time` is epoch ms; `payload` is as it was sent, camelCase."""

    seq: int
    type: str
    project_id: str | None
    session_id: str | None
    prompt_id: str | None
    time: int
    payload: dict[str, Any]

    @classmethod
    def of(cls, envelope: dict[str, Any]) -> Event:
        project, session, prompt = (envelope.get(name) for name in ("projectId", "sessionId", "promptId"))
        return cls(envelope["seq"], envelope["type"], project, session, prompt, envelope["time"], envelope["payload"])

    def typed(self) -> vocabulary.Payload | None:
        """The payload as its class, None for an event that a newer doce knows and this client does not."""
        return vocabulary.known(self.type, self.payload)

    def envelope(self) -> dict[str, Any]:
        """As it came over the wire."""
        ids = {"projectId": self.project_id, "sessionId": self.session_id, "promptId": self.prompt_id}
        there = {name: value for name, value in ids.items() if value is not None}
        return {"seq": self.seq, "type": self.type, **there, "time": self.time, "payload": self.payload}


@dataclass(frozen=True, slots=True)
class LogChunk:
    """A piece of a project's log. Offsets count bytes; `truncated`: something before it was rotated away."""

    offset: int
    next_offset: int
    text: str
    truncated: bool


@dataclass(frozen=True, slots=True)
class JobNews:
    """What a job is now (`job`, as doce sent it), or a line it wrote (`line`: ``{id, level, message, at}``)."""

    job: dict[str, Any] | None = None
    line: dict[str, Any] | None = None


class Reading(Protocol[Item]):
    """A place in a stream."""

    @property
    def path(self) -> str: ...

    @property
    def follow(self) -> bool: ...

    @property
    def ended(self) -> bool:
        """Nothing will ever follow."""

    def connected(self) -> None:
        """A connection was opened at this place."""

    def query(self) -> dict[str, str]: ...

    def headers(self) -> dict[str, str]: ...

    def take(self, sse: ServerSentEvent) -> Item | None:
        """The item in `sse`, with the cursor moved behind it; None for what is not new."""


@dataclass
class EventReading:
    """Events of one project after `after`; the last one's seq is the cursor."""

    project: str
    after: int = 0
    follow: bool = True
    ended: bool = False
    _first: bool = True

    @property
    def path(self) -> str:
        return f"/api/projects/{quote(self.project, safe='')}/opencode/event"

    def connected(self) -> None:
        self._first = True

    def query(self) -> dict[str, str]:
        return {"after": str(self.after)} | ({} if self.follow else {"follow": "false"})

    def headers(self) -> dict[str, str]:
        return {"Last-Event-ID": str(self.after)} if self.after else {}

    def take(self, sse: ServerSentEvent) -> Event | None:
        if sse.event != "chat.event" or not sse.data:
            return None
        event = Event.of(json.loads(sse.data))
        # doce sends only what comes after the cursor. A connection that begins below it says that the log was restored
        # to an earlier state and starts over; anything else below it was already read.
        if event.seq <= self.after and not self._first:
            return None
        self._first = False
        self.after = event.seq
        self.ended = event.type == "project.deleted"
        return event


@dataclass
class LogReading:
    """A project's log from byte `offset` (None: the last 64,000 bytes)."""

    project: str
    offset: int | None = None
    follow: bool = True
    ended: bool = False

    @property
    def path(self) -> str:
        return f"/api/projects/{quote(self.project, safe='')}/logs"

    def connected(self) -> None:
        pass

    def query(self) -> dict[str, str]:
        place = {} if self.offset is None else {"offset": str(self.offset)}
        return place | ({} if self.follow else {"follow": "false"})

    def headers(self) -> dict[str, str]:
        return {}

    def take(self, sse: ServerSentEvent) -> LogChunk | None:
        if sse.event != "log.chunk" or not sse.data:
            return None
        said = json.loads(sse.data)
        chunk = LogChunk(said["offset"], said["nextOffset"], said["text"], bool(said.get("truncated")))
        self.offset = chunk.next_offset
        return chunk if chunk.text else None


@dataclass
class JobReading:
    """One job and its lines after `after`, to its end."""

    job: int
    after: int = 0
    follow: bool = True
    ended: bool = False

    @property
    def path(self) -> str:
        return f"/api/jobs/{self.job}/stream"

    def connected(self) -> None:
        pass

    def query(self) -> dict[str, str]:
        return {"after": str(self.after)} | ({} if self.follow else {"follow": "false"})

    def headers(self) -> dict[str, str]:
        return {}

    def take(self, sse: ServerSentEvent) -> JobNews | None:
        if not sse.data or sse.event not in ("job", "job.line"):
            return None
        said = json.loads(sse.data)
        if sse.event == "job":
            # Lines may still follow; doce ends the stream after the last, and a connection that ends then is the end.
            self.follow = self.follow and said["finishedAt"] is None
            return JobNews(job=said)
        self.after = int(said["id"])
        return JobNews(line=said)


@dataclass
class Patience:
    """How long to wait before asking again, and when to give up."""

    #: seconds
    first_s: float = 0.2
    most_s: float = 5
    #: How long doce may be away before the reader is told (seconds).
    give_up_s: float = 60
    clock: Clock = field(default_factory=SystemClock)
    _delay: float = 0
    _since: float | None = None
    _ever: bool = False

    def connected(self) -> None:
        """doce answered."""
        self._since, self._ever = None, True

    def worked(self) -> None:
        """Something came: the next cut is a new one."""
        self._delay = 0

    def failed(self, error: DoceError | None) -> float:
        """Seconds until the next try after `error` (None: the stream just ended).

        Raises `error` when trying again is of no use: it is not about reachability, doce never answered, or it is away too long.
        """
        now = self.clock.monotonic()
        self._since = now if self._since is None else self._since
        if error is not None and (not self._ever or not isinstance(error, Unavailable | RateLimited) or now - self._since > self.give_up_s):
            raise error
        self._delay = min(max(self._delay * 2, self.first_s), self.most_s)
        return max(self._delay, error.retry_after_s) if isinstance(error, RateLimited) else self._delay
