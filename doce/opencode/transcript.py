"""What a reader of the log sees: messages, tools, files, requests. Pure; doors render from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from doce.events import vocabulary as events
from doce.events.vocabulary import Payload, Tokens
from doce.opencode.answers import PARAGRAPH


@dataclass(slots=True)
class SeenMessage:
    """An assistant message: its text by part while it is written, whole when it has ended."""

    id: str
    session_id: str | None
    parts: dict[str, str] = field(default_factory=dict)
    reasoning: dict[str, str] = field(default_factory=dict)
    discarded: set[str] = field(default_factory=set)
    final: str | None = None
    finish: str | None = None
    error: str | None = None
    tokens: Tokens = field(default_factory=Tokens)

    @property
    def text(self) -> str:
        if self.final is not None:
            return self.final
        return PARAGRAPH.join(text for part, text in sorted(self.parts.items()) if part not in self.discarded and text)


@dataclass(slots=True)
class SeenTool:
    """A tool call. `output` is the whole output so far, or at the end; `error` is set when it failed."""

    id: str
    session_id: str | None
    name: str
    title: str
    input: dict[str, Any]
    state: Literal["running", "finished", "failed"] = "running"
    output: str = ""
    error: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class SeenRequest:
    """A permission or question; `reply` is set when it waits no more."""

    request: events.PermissionRequested | events.QuestionRequested
    session_id: str | None
    reply: str | None = None


@dataclass(slots=True)
class Transcript:
    """The reader's view of a stretch of the log. Feed it with `add`, or make it with `transcript`."""

    messages: dict[str, SeenMessage] = field(default_factory=dict)
    tools: dict[str, SeenTool] = field(default_factory=dict)
    #: Path → (additions, deletions) summed over its changes as far as they are known, None where none is.
    files: dict[str, tuple[int | None, int | None]] = field(default_factory=dict)
    requests: dict[str, SeenRequest] = field(default_factory=dict)
    subagents: dict[str, bool] = field(default_factory=dict)
    todos: dict[str | None, list[events.Todo]] = field(default_factory=dict)
    statuses: dict[str | None, events.SessionStatus] = field(default_factory=dict)
    titles: dict[str | None, str] = field(default_factory=dict)
    errors: list[tuple[str, str]] = field(default_factory=list)
    compactions: int = 0
    #: Messages and tools in the order they began: ("message" | "tool", id).
    order: list[tuple[str, str]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The answers one after another."""
        return PARAGRAPH.join(message.text for message in self.messages.values() if message.text)

    def message(self, message_id: str, session_id: str | None) -> SeenMessage:
        """The message, made when it is new."""
        if message_id not in self.messages:
            self.messages[message_id] = SeenMessage(message_id, session_id)
            self.order.append(("message", message_id))
        return self.messages[message_id]

    def add(self, payload: Payload, session_id: str | None = None) -> None:
        """Take one more event of the log, in its order."""
        if isinstance(payload, events.MessagePartAdded):
            parts = self.message(payload.message_id, session_id).parts
            parts[payload.part_id] = parts.get(payload.part_id, "")[: payload.offset] + payload.delta_text
        elif isinstance(payload, events.ReasoningPart):
            parts = self.message(payload.message_id, session_id).reasoning
            parts[payload.part_id] = parts.get(payload.part_id, "")[: payload.offset] + payload.delta_text
        elif isinstance(payload, events.MessageDiscarded):
            self.message(payload.message_id, session_id).discarded.add(payload.part_id)
        elif isinstance(payload, events.MessageFinal):
            message = self.message(payload.message_id, session_id)
            message.final, message.finish, message.error, message.tokens = payload.text, payload.finish, payload.error, payload.tokens
        elif isinstance(payload, events.ToolStart | events.ToolProgress | events.ToolFinish | events.ToolError):
            self._tool(payload, session_id)
        elif isinstance(payload, events.FileChanged):
            self._file(payload)
        else:
            self._session(payload, session_id)

    def _tool(self, payload: events.ToolStart | events.ToolProgress | events.ToolFinish | events.ToolError, session_id: str | None) -> None:
        tool = self.tools.get(payload.tool_call_id)
        if tool is None:
            self.order.append(("tool", payload.tool_call_id))
            tool = self.tools[payload.tool_call_id] = SeenTool(payload.tool_call_id, session_id, "", "", {})
        if isinstance(payload, events.ToolStart):
            tool.name, tool.title, tool.input = payload.name, payload.title, payload.input
        elif isinstance(payload, events.ToolProgress):
            tool.output = payload.output
        elif isinstance(payload, events.ToolFinish):
            tool.state, tool.name, tool.title = "finished", payload.name, payload.title
            tool.output, tool.metadata = payload.output, payload.metadata
        else:
            tool.state, tool.name, tool.error = "failed", payload.name, payload.error

    def _file(self, payload: events.FileChanged) -> None:
        before = self.files.get(payload.path, (None, None))
        now = (payload.additions, payload.deletions)
        self.files[payload.path] = (_sum(before[0], now[0]), _sum(before[1], now[1]))

    def _session(self, payload: Payload, session_id: str | None) -> None:
        if isinstance(payload, events.PermissionRequested | events.QuestionRequested):
            self.requests[payload.request_id] = SeenRequest(payload, session_id)
        elif isinstance(payload, events.PermissionResolved | events.QuestionResolved):
            if payload.request_id in self.requests:
                self.requests[payload.request_id].reply = payload.reply
        elif isinstance(payload, events.SessionStatus):
            self.statuses[session_id] = payload
        elif isinstance(payload, events.SessionTitle):
            self.titles[session_id] = payload.title
        elif isinstance(payload, events.SessionError):
            self.errors.append((payload.name, payload.message))
        elif isinstance(payload, events.TodoUpdated):
            self.todos[session_id] = payload.todos
        elif isinstance(payload, events.SubagentStarted):
            self.subagents.setdefault(payload.child_session_id, False)
        elif isinstance(payload, events.SubagentFinished):
            self.subagents[payload.child_session_id] = True
        elif isinstance(payload, events.SessionCompacted):
            self.compactions += 1


def transcript(logged: Iterable[tuple[Payload, str | None]]) -> Transcript:
    """The view of `(payload, session id)` pairs in the log's order."""
    view = Transcript()
    for payload, session_id in logged:
        view.add(payload, session_id)
    return view


def _sum(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else one + other
