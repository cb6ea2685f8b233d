"""After a gap: what the message list knows and the log lacks; and the state of a log that was written earlier."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from doce.events.vocabulary import (
    FileChanged,
    MessageDiscarded,
    MessageFinal,
    MessagePartAdded,
    Payload,
    PermissionRequested,
    PermissionResolved,
    QuestionRequested,
    QuestionResolved,
    ReasoningPart,
    SessionStatus,
    SessionTitle,
    SubagentFinished,
    SubagentStarted,
    TodoUpdated,
    ToolError,
    ToolFinish,
    ToolProgress,
    ToolStart,
)
from doce.opencode.answers import interrupt, on_message, on_part
from doce.opencode.sessions import on_permission, on_question, on_session, on_status, on_todos, resolve, resolved_key
from doce.opencode.state import Message, Normalized, Part, Session, State, Tool

Raw = Mapping[str, Any]


@dataclass(frozen=True)
class Snapshot:
    """What the server answers at one moment, as it sends it.

    `sessions`: the project's sessions and their sub-agents'. `messages`: session id → ``[{info, parts}]``, oldest first
    (the newest ones are enough: as far back as the log is complete). `statuses` names only sessions that are not idle.
    """

    sessions: Sequence[Raw] = ()
    messages: Mapping[str, Sequence[Raw]] = field(default_factory=dict)
    statuses: Mapping[str, Raw] = field(default_factory=dict)
    permissions: Sequence[Raw] = ()
    questions: Sequence[Raw] = ()
    todos: Mapping[str, Sequence[Raw]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Logged:
    """One event of the log, as `from_log` reads it. `turn`: the prompt's user message; `source_key` as it was told."""

    payload: Payload
    session_id: str | None = None
    turn: str | None = None
    source_key: str | None = None


def resync(state: State, snapshot: Snapshot) -> list[Normalized]:
    """What the log lacks, in the order it happened as far as that is known. Changes `state`.

    Text parts that were being written across the gap are held back until they end. An answer without an end in an idle
    session is closed as interrupted, with what the log has of it: when a later answer is there, else at the stream's next
    heartbeat, for the list may have been read in the moment between a status and what follows it.
    """
    told: list[Normalized] = []
    hold(state)
    for info in snapshot.sessions:
        told += on_session(state, info)
    known = {str(info["id"]) for info in snapshot.sessions} | set(snapshot.messages)
    for session_id in sorted(snapshot.messages, key=lambda each: state.session(each).parent_id is not None):
        for item in snapshot.messages[session_id]:
            told += _read(state, item)
    for session_id, todos in snapshot.todos.items():
        told += on_todos(state, session_id, list(todos))
    told += _requests(state, snapshot)
    for session_id in sorted(known):
        status = snapshot.statuses.get(session_id) or {"type": "idle"}
        told += _leftovers(state, session_id, idle=status["type"] == "idle")
        told += on_status(state, session_id, status)
    return told


def hold(state: State) -> None:
    """The stream broke: of parts that are being written, pieces may be missing from here on."""
    for part in state.parts.values():
        part.held = part.held or part.open


def _read(state: State, item: Raw) -> list[Normalized]:
    """A message of the list: its beginning, its parts, its end."""
    info = item["info"]
    beginning = {**info, "time": {"created": (info.get("time") or {}).get("created")}}
    beginning.pop("error", None)
    told = on_message(state, beginning)
    for part in item["parts"]:
        told += on_part(state, part, listed=True)
    return told + on_message(state, info)


def _requests(state: State, snapshot: Snapshot) -> list[Normalized]:
    """Permissions and questions: those that wait, and those that were answered meanwhile by we do not know whom."""
    told: list[Normalized] = []
    waiting = {str(raw["id"]) for raw in (*snapshot.permissions, *snapshot.questions)}
    for request_id in [request for request in state.pending if request not in waiting]:
        told += resolve(state, request_id)
    for raws, ask in ((snapshot.permissions, on_permission), (snapshot.questions, on_question)):
        for raw in raws:
            # OpenCode keeps listing what an aborted turn had asked; nothing waits for it any more.
            if raw["sessionID"] in snapshot.statuses:
                told += ask(state, raw)
    return told


def _leftovers(state: State, session_id: str, *, idle: bool) -> list[Normalized]:
    """Close answers that have a later one behind them; suspect the rest of what is unfinished in an idle session."""
    session = state.session(session_id)
    answers = [message.id for message in state.messages.values() if message.session_id == session_id and message.role == "assistant"]
    unfinished = state.unfinished(session_id)
    told = [each for message in unfinished if message.id < max(answers) for each in interrupt(state, message)]
    turn = state.turns.get(state.turn_of(session_id) or "")
    unanswered = turn is not None and not turn.answers and session.parent_id is None
    behind = any(message.parent_id not in (None, *session.users[-1:]) for message in state.unfinished(session_id))
    if behind or (idle and (unanswered or state.unfinished(session_id))):
        state.suspects.add(session_id)
    return told


# From the log


def from_log(events: Iterable[Logged], *, workspaces: tuple[str, ...] = (), roots: Iterable[str] = ()) -> State:
    """The state in which doce was when it had logged `events`. Follow it by `resync` before any event of the stream."""
    state = State(workspaces=workspaces)
    for root in roots:
        state.session(root)
    for event in events:
        if event.source_key is not None and not isinstance(event.payload, MessagePartAdded | ReasoningPart | ToolProgress):
            state.seen.add(event.source_key)
        _remember(state, event, event.payload)
    return state


def _remember(state: State, event: Logged, payload: Payload) -> None:
    session = state.session(event.session_id) if event.session_id else None
    if isinstance(payload, MessagePartAdded | ReasoningPart) and session:
        _remember_text(state, session, event, payload)
    elif isinstance(payload, MessageDiscarded) and session:
        _part(state, session, event, payload.message_id, payload.part_id).discarded = True
        state.seen.add(f"{payload.part_id}:discarded")
    elif isinstance(payload, MessageFinal) and session:
        message = _message(state, session, event, payload.message_id)
        message.completed = True
        state.seen.add(f"{message.id}:final")
        for part_id in message.parts:
            state.parts[part_id].ended, state.parts[part_id].pieces = True, []
    elif isinstance(payload, ToolStart | ToolProgress | ToolFinish | ToolError) and session:
        _remember_tool(state, session, payload)
    elif isinstance(payload, FileChanged) and session and event.turn:
        state.turn(event.turn, state.root(session.id).id).files[payload.path] = None
    elif session:
        _remember_session(state, session, event, payload)


def _remember_text(state: State, session: Session, event: Logged, payload: MessagePartAdded | ReasoningPart) -> None:
    part = _part(state, session, event, payload.message_id, payload.part_id)
    part.kind = "reasoning" if isinstance(payload, ReasoningPart) else "text"
    if payload.offset == part.length:
        part.add(payload.delta_text)


def _remember_tool(state: State, session: Session, payload: ToolStart | ToolProgress | ToolFinish | ToolError) -> None:
    tool = state.tools.setdefault(payload.tool_call_id, Tool(payload.tool_call_id, "", session.id, ""))
    tool.started = True
    state.seen.add(f"{tool.id}:start")
    if isinstance(payload, ToolProgress):
        tool.progress = len(payload.output)
    elif isinstance(payload, ToolFinish | ToolError):
        tool.ended = True
        state.seen.add(f"{tool.id}:end")


def _remember_session(state: State, session: Session, event: Logged, payload: Payload) -> None:
    if isinstance(payload, SessionStatus):
        session.shown = (payload.status, payload.attempt, payload.message, payload.next_at)
    elif isinstance(payload, SessionTitle):
        session.title = payload.title
    elif isinstance(payload, TodoUpdated):
        session.todos = tuple(payload.todos)
    elif isinstance(payload, SubagentStarted):
        child = state.session(payload.child_session_id)
        child.parent_id, child.turn = session.id, event.turn
        state.seen.add(f"{child.id}:started")
        if payload.tool_call_id and payload.tool_call_id in state.tools:
            state.tools[payload.tool_call_id].child = child.id
    elif isinstance(payload, SubagentFinished):
        state.seen.add(f"{payload.child_session_id}:finished")
    elif isinstance(payload, PermissionRequested | QuestionRequested):
        state.pending[payload.request_id] = (session.id, "permission" if isinstance(payload, PermissionRequested) else "question")
        state.seen.add(f"{payload.request_id}:asked")
    elif isinstance(payload, PermissionResolved | QuestionResolved):
        state.pending.pop(payload.request_id, None)
        state.seen.add(resolved_key(payload.request_id))


def _message(state: State, session: Session, event: Logged, message_id: str) -> Message:
    found = state.messages.get(message_id)
    if found is None:
        found = state.messages[message_id] = Message(message_id, session.id, "assistant", turn=event.turn)
    return found


def _part(state: State, session: Session, event: Logged, message_id: str, part_id: str) -> Part:
    message = _message(state, session, event, message_id)
    found = state.parts.get(part_id)
    if found is None:
        found = state.parts[part_id] = Part(part_id, message_id, session.id, held=True)
        message.parts.append(part_id)
    return found
