"""What normalising has to remember of a project's sessions. Mutable for speed, no I/O; `copy()` gives a snapshot of it."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from doce.events.vocabulary import Payload, Todo, Tokens
from doce.opencode.ids import id_moment


@dataclass(frozen=True, slots=True)
class Normalized:
    """One event of doce's vocabulary, and where it belongs.

    `source_key` names the fact: the same fact told by the stream and by the message list has the same key. None: a
    passing state (status, progress, todo list) that has no identity. `turn` is the id of the prompt's user message.
    """

    payload: Payload
    session_id: str | None = None
    turn: str | None = None
    source_key: str | None = None


@dataclass(slots=True)
class Part:
    """A text or reasoning part. `pieces` is what the log has of it, joined."""

    id: str
    message_id: str
    session_id: str
    kind: Literal["text", "reasoning"] | None = None
    pieces: list[str] = field(default_factory=list)
    length: int = 0
    #: Deltas were missed: nothing is logged until the part ends and its whole text is known.
    held: bool = False
    ended: bool = False
    discarded: bool = False

    @property
    def text(self) -> str:
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""

    @property
    def open(self) -> bool:
        return not self.ended and not self.discarded

    def add(self, piece: str) -> None:
        self.pieces.append(piece)
        self.length += len(piece)


@dataclass(slots=True)
class Tool:
    """A tool call, known by the id of its part: the model's own call ids need not be unique."""

    id: str
    message_id: str
    session_id: str
    name: str
    call_id: str = ""
    started: bool = False
    ended: bool = False
    progress: int = 0
    progress_at: int = 0
    child: str | None = None


@dataclass(frozen=True, slots=True)
class Edit:
    """What one tool call did to one file."""

    path: str
    additions: int | None
    deletions: int | None


@dataclass(slots=True)
class Message:
    """A user's or an assistant's message (one assistant message a model step)."""

    id: str
    session_id: str
    role: Literal["user", "assistant"]
    parent_id: str | None = None
    turn: str | None = None
    #: Made by OpenCode itself (a compaction, or "go on" after one): belongs to the turn before it.
    continuation: bool = False
    #: Some of a user message's text is a person's.
    own_words: bool = False
    #: The summary of a compaction; its text is not an answer.
    summary: bool = False
    completed: bool = False
    finish: str | None = None
    error: tuple[str, str] | None = None
    tokens: Tokens = field(default_factory=Tokens)
    cost: float = 0.0
    parts: list[str] = field(default_factory=list)
    tools: list[str] = field(default_factory=list)
    edits: dict[str, Edit] = field(default_factory=dict)
    patched: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Session:
    """A session; a sub-agent's has a parent. `shown` is the status last told."""

    id: str
    parent_id: str | None = None
    title: str | None = None
    status: str | None = None
    attempt: int | None = None
    message: str | None = None
    next_at: int | None = None
    shown: tuple[str, int | None, str | None, int | None] | None = None
    #: User messages, oldest first.
    users: list[str] = field(default_factory=list)
    #: For a sub-agent: the turn of the tool call that runs it.
    turn: str | None = None
    todos: tuple[Todo, ...] = ()


@dataclass(slots=True)
class Turn:
    """A prompt's answers in a root session."""

    id: str
    session_id: str
    answers: list[str] = field(default_factory=list)
    files: dict[str, None] = field(default_factory=dict)
    error: tuple[str, str] | None = None
    interrupted: bool = False


@dataclass(slots=True)
class State:
    """Everything normalising knows of one project. `workspaces`: absolute paths that mean the workspace."""

    workspaces: tuple[str, ...] = ()
    sessions: dict[str, Session] = field(default_factory=dict)
    messages: dict[str, Message] = field(default_factory=dict)
    parts: dict[str, Part] = field(default_factory=dict)
    tools: dict[str, Tool] = field(default_factory=dict)
    turns: dict[str, Turn] = field(default_factory=dict)
    #: Permissions and questions that wait: request id → (session id, "permission" or "question").
    pending: dict[str, tuple[str, str]] = field(default_factory=dict)
    #: Sessions that the list showed idle with something unfinished: about to change, or left so by an agent that died.
    suspects: set[str] = field(default_factory=set)
    #: Keys of the facts that were told.
    seen: set[str] = field(default_factory=set)
    #: Upstream types that are not listed, and events that could not be read, counted.
    dropped: Counter[str] = field(default_factory=Counter)
    #: Parts whose final text did not go on from what was logged; the message's `final` puts them right.
    mismatches: int = 0

    def copy(self) -> State:
        """An independent copy."""
        return copy.deepcopy(self)

    def session(self, session_id: str) -> Session:
        """The session, made when it is new."""
        found = self.sessions.get(session_id)
        if found is None:
            found = self.sessions[session_id] = Session(session_id)
        return found

    def root(self, session_id: str) -> Session:
        """The session a person talks to, at the top of `session_id`'s line."""
        found = self.session(session_id)
        for _ in range(64):
            if found.parent_id is None or found.parent_id == found.id:
                break
            found = self.session(found.parent_id)
        return found

    def turn_of(self, session_id: str, user_id: str | None = None) -> str | None:
        """The prompt that `user_id` (or the newest user message of the session) is about, in the root session."""
        session = self.session(session_id)
        if session.parent_id is not None:
            return session.turn or self.turn_of(session.parent_id)
        users = session.users
        if user_id is not None and user_id not in users:
            return user_id
        position = users.index(user_id) if user_id is not None else len(users) - 1
        for candidate in reversed(users[: position + 1]):
            if not self.messages[candidate].continuation:
                return candidate
        return users[position] if users else None

    def turn(self, turn_id: str, session_id: str) -> Turn:
        """The turn, made when it is new."""
        found = self.turns.get(turn_id)
        if found is None:
            found = self.turns[turn_id] = Turn(turn_id, session_id)
        return found

    def open_parts(self, session_id: str) -> Iterator[Part]:
        """Text and reasoning parts of a session that are being written."""
        for message in self.unfinished(session_id):
            yield from (part for part_id in message.parts if (part := self.parts[part_id]).open)

    def unfinished(self, session_id: str) -> list[Message]:
        """Assistant messages of a session that have not ended."""
        found = []
        for message in self.messages.values():
            if message.session_id == session_id and message.role == "assistant" and not message.completed:
                found.append(message)
        return sorted(found, key=lambda message: message.id)

    def final(self, message_id: str) -> bool:
        """True when the message's `final` was told."""
        return f"{message_id}:final" in self.seen

    def tell(self, payload: Payload, key: str, session_id: str, turn: str | None = None) -> list[Normalized]:
        """The event, unless its fact was told before."""
        if key in self.seen:
            return []
        self.seen.add(key)
        return [Normalized(payload, session_id, turn if turn is not None else self.turn_of(session_id), key)]

    def adopt(self, message_id: str, session_id: str) -> Message:
        """An assistant message whose beginning was not seen."""
        message = self.messages[message_id] = Message(message_id, session_id, "assistant", turn=self.turn_of(session_id))
        return message

    def add_workspace(self, path: object) -> None:
        """Learn a path that the agent calls its directory."""
        if isinstance(path, str) and len(path) > 1 and path.startswith("/") and path.rstrip("/") not in self.workspaces:
            self.workspaces = (*self.workspaces, path.rstrip("/"))


def before(part_id: str, moment_id: str | None) -> bool:
    """True when `part_id` was made before `moment_id` (any ascending id); an unreadable id counts as later than all."""
    limit = id_moment(moment_id) if moment_id else None
    made = id_moment(part_id)
    return limit is None or made is None or made < limit
