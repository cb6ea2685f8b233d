"""From OpenCode's stream to doce's events: deterministic, no I/O. The same functions read the message list after a gap.

What is told is decided by facts with an identity (`Normalized.source_key`), so an event that comes twice, late, or by
the other way is told once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from doce.events.vocabulary import (
    FileChanged,
    MessageDiscarded,
    MessageFinal,
    MessagePartAdded,
    Payload,
    PermissionRequested,
    PermissionResolved,
    QuestionItem,
    QuestionRequested,
    QuestionResolved,
    ReasoningPart,
    SessionCompacted,
    SessionError,
    SessionStatus,
    SessionTitle,
    SubagentFinished,
    SubagentStarted,
    Todo,
    TodoUpdated,
    Tokens,
    ToolError,
    ToolFinish,
    ToolProgress,
    ToolStart,
)
from doce.opencode.paths import relative_path, relative_text
from doce.opencode.state import Message, Normalized, Part, Session, State, Tool, before
from doce.opencode.tools import PROGRESS_LIMIT, edit_of, shorten, tool_input, tool_metadata, tool_title

Raw = Mapping[str, Any]
#: Between the text parts of one message.
PARAGRAPH = "\n\n"
ABORTED = "MessageAbortedError"
INTERRUPTED = "interrupted"
_LOST = "The agent stopped before this tool had ended."
#: Known and of no interest: they say nothing about the work, or say it a second time.
IGNORED = frozenset(
    "server.connected server.instance.disposed global.disposed session.diff session.deleted session.compacted "
    "file.edited file.watcher.updated plugin.added catalog.updated reference.updated integration.updated".split()
)
#: Least time (ms, by the event's own clock) between two looks at the output of a running tool.
PROGRESS_MS = 250


def normalize(state: State, event: Raw) -> list[Normalized]:
    """What `event` (an item of ``/event`` or ``/global/event``) adds to the log. Changes `state`; never raises."""
    payload = event.get("payload")
    if isinstance(payload, Mapping):
        event = payload
    kind = event.get("type")
    if kind in IGNORED or kind == "sync":
        return []
    handler = HANDLERS.get(kind) if isinstance(kind, str) else None
    if handler is None:
        state.dropped[str(kind)[:80]] += 1
        return []
    try:
        return handler(state, event["properties"], event)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError):
        state.dropped[f"malformed {kind}"] += 1
        return []


def tell(state: State, payload: Payload, key: str, session_id: str, turn: str | None = None) -> list[Normalized]:
    """The event, unless its fact was told before."""
    if key in state.seen:
        return []
    state.seen.add(key)
    return [Normalized(payload, session_id, turn if turn is not None else state.turn_of(session_id), key)]


# Text


def on_delta(state: State, properties: Raw, event: Raw) -> list[Normalized]:
    """One piece of text or reasoning, logged at once unless something before it is missing."""
    part = state.parts.get(properties["partID"])
    if part is None:
        part = _new_part(state, properties["partID"], properties["messageID"], properties["sessionID"])
        part.held = True
    if part.held or part.ended or part.discarded or properties["field"] != "text":
        return []
    return _append(state, part, properties["delta"])


def on_text(state: State, raw: Raw, *, listed: bool = False) -> list[Normalized]:
    """A text or reasoning part opens or ends. `listed`: from the message list, which lacks the text of an open part."""
    message = state.messages.get(raw["messageID"])
    if message is None and raw.get("time"):
        message = _adopt(state, raw["messageID"], raw["sessionID"])
    if message is None or message.role == "user":
        if message is not None:
            # Written by OpenCode itself unless some of its text is a person's; attachments bring synthetic text along.
            message.own_words = message.own_words or not raw.get("synthetic")
            _asked(state, message, continuation=not message.own_words)
        return []
    part = state.parts.get(raw["id"]) or _new_part(state, raw["id"], message.id, raw["sessionID"])
    part.kind = "reasoning" if raw["type"] == "reasoning" or message.summary else "text"
    if not part.open or state.final(message.id):
        return []
    if not (raw.get("time") or {}).get("end"):
        # Seen from its very beginning by the stream, a part lacks nothing; a listed one may.
        part.held = listed or (part.held and part.length > 0)
        return []
    return _end(state, part, raw["text"])


def _asked(state: State, message: Message, *, continuation: bool) -> None:
    """A user message is of a person, and begins a turn, or goes on with the one before."""
    message.continuation = continuation
    session = state.session(message.session_id)
    if message.id not in session.users:
        session.users.append(message.id)
        session.users.sort()
    if session.parent_id is None and not continuation:
        state.turn(message.id, session.id)


def _end(state: State, part: Part, text: str) -> list[Normalized]:
    """The part's whole text is known: log the rest of it."""
    logged = part.text
    part.held = False
    if text.startswith(logged):
        told = _append(state, part, text[len(logged) :])
    else:
        state.mismatches += 1
        part.pieces, part.length, told = [text], len(text), []
    part.ended = True
    return told


def _append(state: State, part: Part, piece: str) -> list[Normalized]:
    if not piece:
        return []
    offset, message = part.length, state.messages.get(part.message_id)
    part.add(piece)
    kind = ReasoningPart if part.kind == "reasoning" else MessagePartAdded
    payload = kind(message_id=part.message_id, part_id=part.id, offset=offset, delta_text=piece)
    return [Normalized(payload, part.session_id, message.turn if message else None, f"{part.id}:{offset}")]


def discard(state: State, part: Part) -> list[Normalized]:
    """The model is asked again: what this part has so far will never be part of the answer."""
    part.discarded = True
    if not part.length:
        return []
    payload = MessageDiscarded(message_id=part.message_id, part_id=part.id)
    return tell(state, payload, f"{part.id}:discarded", part.session_id, state.messages[part.message_id].turn)


def _new_part(state: State, part_id: str, message_id: str, session_id: str) -> Part:
    message = state.messages.get(message_id) or _adopt(state, message_id, session_id)
    part = state.parts[part_id] = Part(part_id, message_id, session_id)
    message.parts.append(part_id)
    return part


def _adopt(state: State, message_id: str, session_id: str) -> Message:
    """An assistant message whose beginning was not seen."""
    message = state.messages[message_id] = Message(message_id, session_id, "assistant", turn=state.turn_of(session_id))
    return message


# Parts


def on_part(state: State, raw: Raw, *, at: int = 0, listed: bool = False) -> list[Normalized]:
    """A part as a whole, from the stream or from the list."""
    kind = raw["type"]
    if kind in ("text", "reasoning"):
        return on_text(state, raw, listed=listed)
    if kind == "tool":
        return on_tool(state, raw, at)
    message = state.messages.get(raw["messageID"])
    if message is None:
        message = _adopt(state, raw["messageID"], raw["sessionID"])
    if kind == "compaction":
        _asked(state, message, continuation=True)
    elif kind == "step-start":
        orphans = [part for part in map(state.parts.__getitem__, message.parts) if part.open and before(part.id, raw["id"])]
        return [told for part in orphans for told in discard(state, part)] if not state.final(message.id) else []
    elif kind == "patch":
        return [told for path in raw["files"] for told in _file_changed(state, message, relative_path(path, state.workspaces), raw["id"])]
    return []


def _file_changed(state: State, message: Message, path: str, source: str) -> list[Normalized]:
    message.patched.add(path)
    edits = [edit for edit in message.edits.values() if edit.path == path]
    additions = [edit.additions for edit in edits if edit.additions is not None]
    deletions = [edit.deletions for edit in edits if edit.deletions is not None]
    known = bool(edits) and len(additions) == len(deletions) == len(edits)
    if message.turn is not None:
        state.turn(message.turn, state.root(message.session_id).id).files[path] = None
    payload = FileChanged(path=path, additions=sum(additions) if known else None, deletions=sum(deletions) if known else None)
    return tell(state, payload, f"{source}:{path}", message.session_id, message.turn)


# Tools


def on_tool(state: State, raw: Raw, at: int = 0) -> list[Normalized]:
    """A tool call goes on. Told: start when its input is known, its output so far now and then, its end."""
    message = state.messages.get(raw["messageID"]) or _adopt(state, raw["messageID"], raw["sessionID"])
    tool = state.tools.get(raw["id"])
    if tool is None:
        tool = state.tools[raw["id"]] = Tool(raw["id"], message.id, raw["sessionID"], raw["tool"])
    if tool.id not in message.tools:
        message.tools.append(tool.id)
    tool.message_id, tool.session_id, tool.name, tool.call_id = message.id, raw["sessionID"], raw["tool"], raw.get("callID", "")
    call = raw["state"]
    status = call["status"]
    if status == "pending":
        return []
    told = _start(state, tool, message, call) + _subagent(state, tool, message, call)
    if status == "running":
        return told + _progress(tool, message, call, at, state.workspaces)
    if status == "completed" and (edit := edit_of(call, state.workspaces)):
        message.edits[tool.id] = edit
    return told + end_tool(state, tool, message, call)


def _start(state: State, tool: Tool, message: Message, call: Raw) -> list[Normalized]:
    tool.started = True
    given = call.get("input") or {}
    payload = ToolStart(
        tool_call_id=tool.id,
        name=tool.name,
        title=tool_title(tool.name, given, state.workspaces),
        input=tool_input(given, state.workspaces),
    )
    return tell(state, payload, f"{tool.id}:start", tool.session_id, message.turn)


def _subagent(state: State, tool: Tool, message: Message, call: Raw) -> list[Normalized]:
    child = (call.get("metadata") or {}).get("sessionId")
    if not isinstance(child, str):
        return []
    tool.child = child
    session = state.session(child)
    session.parent_id, session.turn = tool.session_id, message.turn
    payload = SubagentStarted(
        child_session_id=child, title=tool_title(tool.name, call.get("input") or {}, state.workspaces), tool_call_id=tool.id
    )
    return tell(state, payload, f"{child}:started", tool.session_id, message.turn)


def _progress(tool: Tool, message: Message, call: Raw, at: int, workspaces: tuple[str, ...]) -> list[Normalized]:
    output = (call.get("metadata") or {}).get("output")
    if tool.ended or not isinstance(output, str) or len(output) <= tool.progress:
        return []
    if tool.progress and at and at - tool.progress_at < PROGRESS_MS:
        return []
    tool.progress, tool.progress_at = len(output), at
    payload = ToolProgress(tool_call_id=tool.id, output=shorten(relative_text(output, workspaces), PROGRESS_LIMIT))
    return [Normalized(payload, tool.session_id, message.turn, f"{tool.id}:progress:{len(output)}")]


def end_tool(state: State, tool: Tool, message: Message, call: Raw) -> list[Normalized]:
    """The call has ended; so has the sub-agent that it ran."""
    tool.ended = True
    payload: Payload
    if call["status"] == "completed":
        title = call.get("title")
        payload = ToolFinish(
            tool_call_id=tool.id,
            name=tool.name,
            title=relative_text(title, state.workspaces)[:200]
            if isinstance(title, str) and title
            else tool_title(tool.name, call.get("input") or {}, state.workspaces),
            output=shorten(relative_text(str(call.get("output") or ""), state.workspaces)),
            metadata=tool_metadata(call.get("metadata") or {}, state.workspaces),
        )
    else:
        error = relative_text(str(call.get("error") or "It failed and did not say why."), state.workspaces)
        payload = ToolError(tool_call_id=tool.id, name=tool.name, error=shorten(error))
    told = tell(state, payload, f"{tool.id}:end", tool.session_id, message.turn)
    if tool.child:
        told += tell(state, SubagentFinished(child_session_id=tool.child), f"{tool.child}:finished", tool.session_id, message.turn)
    return told


# Messages


def on_message(state: State, info: Raw) -> list[Normalized]:
    """A message begins, changes or ends."""
    session = state.session(info["sessionID"])
    message = state.messages.get(info["id"])
    if message is None:
        message = state.messages[info["id"]] = Message(info["id"], session.id, "user" if info["role"] == "user" else "assistant")
    if info["role"] == "user":
        return []  # what it is shows in its parts
    state.add_workspace((info.get("path") or {}).get("root"))
    _learn(state, session, message, info)
    told = close_suspect(state, session.id, older_than=message.id)
    if message.error:
        told += session_error(state, session, message.error, f"{message.parent_id}:error:{message.error[0]}", message.turn)
    if message.completed:
        told += finalize(state, message)
    return told


def _learn(state: State, session: Session, message: Message, info: Raw) -> None:
    completed = bool((info.get("time") or {}).get("completed"))
    if message.completed and not completed:
        return  # an event older than the list that told of its end
    message.parent_id = info.get("parentID")
    message.turn = state.turn_of(session.id, message.parent_id)
    message.summary = info.get("summary") is True
    message.finish = info.get("finish")
    message.error = _error(info["error"]) if info.get("error") else None
    message.tokens, message.cost = _tokens(info.get("tokens") or {}), float(info.get("cost") or 0)
    message.completed = completed
    if session.parent_id is None and message.turn is not None and not message.summary:
        turn = state.turn(message.turn, session.id)
        if message.id not in turn.answers:
            turn.answers.append(message.id)
            turn.answers.sort()
        if message.completed:
            turn.interrupted = False


def finalize(state: State, message: Message, *, error: str | None = None) -> list[Normalized]:
    """The message has ended: files no patch told of, then its whole text."""
    if state.final(message.id):
        return []
    told = []
    for tool_id, edit in message.edits.items():
        if edit.path not in message.patched:
            told += _file_changed(state, message, edit.path, tool_id)
    parts = sorted((state.parts[part_id] for part_id in message.parts), key=lambda part: part.id)
    text = PARAGRAPH.join(part.text for part in parts if part.kind != "reasoning" and not part.discarded and part.length)
    if message.error and error is None:
        error = "stopped" if message.error[0] == ABORTED else message.error[1]
    payload = MessageFinal(message_id=message.id, text=text, finish=message.finish, error=error, tokens=message.tokens, cost=message.cost)
    for part in parts:
        part.ended, part.pieces = True, []
    told += tell(state, payload, f"{message.id}:final", message.session_id, message.turn)
    if message.summary and not message.error and error is None:
        told += tell(state, SessionCompacted(), f"{message.id}:compacted", message.session_id, message.turn)
    return told


# The end of what was left unfinished


def on_heartbeat(state: State, properties: Raw, event: Raw) -> list[Normalized]:
    """Seconds after a resync with nothing missed since: what is still unfinished in an idle session stays so."""
    told = [each for session_id in sorted(state.suspects) for each in close_suspect(state, session_id)]
    state.suspects.clear()
    return told


def close_suspect(state: State, session_id: str, *, older_than: str | None = None) -> list[Normalized]:
    """Close what an agent that died left in this session, if it is a suspect: all of it when idle, or what is older than
    an answer that has begun since."""
    session = state.session(session_id)
    if session_id not in state.suspects or (older_than is None and session.status not in (None, "idle")):
        return []
    told: list[Normalized] = []
    for message in state.unfinished(session_id):
        if older_than is None or message.id < older_than:
            told += interrupt(state, message)
    if session.parent_id is None:
        for user_id in (user for user in session.users if older_than is None or user < older_than):
            turn = state.turns.get(user_id)
            newest = user_id == session.users[-1]
            if turn and not turn.answers and turn.error is None and (older_than is None or not newest):
                turn.interrupted = turn.interrupted or not state.messages[user_id].continuation
    return told


def interrupt(state: State, message: Message) -> list[Normalized]:
    """The agent died while it gave this answer: its tools failed, its text is what the log has of it."""
    told: list[Normalized] = []
    for tool in (state.tools[tool_id] for tool_id in message.tools):
        if tool.started and not tool.ended:
            told += end_tool(state, tool, message, {"status": "error", "error": _LOST})
    message.completed = True
    if message.turn is not None and state.session(message.session_id).parent_id is None and not message.summary:
        state.turn(message.turn, message.session_id).interrupted = True
    return told + finalize(state, message, error=INTERRUPTED)


def session_error(state: State, session: Session, error: tuple[str, str], key: str, turn: str | None) -> list[Normalized]:
    """An error of the agent. An abort is no error: the prompt ends as stopped."""
    if turn is not None and session.parent_id is None:
        state.turn(turn, session.id).error = state.turn(turn, session.id).error or error
    if error[0] == ABORTED:
        return []
    return tell(state, SessionError(name=error[0], message=shorten(relative_text(error[1], state.workspaces))), key, session.id, turn)


def _tokens(raw: Raw) -> Tokens:
    cache = raw.get("cache") or {}
    names = {"input": raw.get("input"), "output": raw.get("output"), "reasoning": raw.get("reasoning")}
    counts = {**names, "cache_read": cache.get("read"), "cache_write": cache.get("write")}
    return Tokens(**{name: int(count or 0) for name, count in counts.items()})


def _error(raw: Raw) -> tuple[str, str]:
    name = str(raw.get("name") or "UnknownError")
    return name, plain_message((raw.get("data") or {}).get("message")) or name


def plain_message(text: object) -> str:
    """The sentence inside an error message that is itself JSON, and without a stack trace."""
    message = str(text or "").strip()
    if message.startswith("{"):
        try:
            inner = json.loads(message)
            inner = inner.get("error") if isinstance(inner.get("error"), dict) else inner
            message = str(inner.get("message") or message)
        except (ValueError, AttributeError):
            pass
    return message.split("\n    at ")[0]


# Sessions


def on_session(state: State, info: Raw) -> list[Normalized]:
    """A session as a whole: its line of descent and its title."""
    session = state.session(info["id"])
    session.parent_id = info.get("parentID") or session.parent_id
    state.add_workspace(info.get("directory"))
    title = info.get("title")
    if session.parent_id is not None or not isinstance(title, str) or title == session.title or title.startswith("New session - "):
        return []
    session.title = title
    key = f"{session.id}:title:{hashlib.sha256(title.encode()).hexdigest()[:16]}"
    return tell(state, SessionTitle(title=title), key, session.id)


def on_status(state: State, session_id: str, status: Raw, event_id: str | None = None) -> list[Normalized]:
    """Busy, idle, or waiting to ask the model again (which orphans the text it was giving)."""
    session = state.session(session_id)
    session.status, session.attempt, session.message, session.next_at = status["type"], None, None, None
    told = []
    if session.status == "retry":
        session.attempt, session.next_at = status.get("attempt"), status.get("next")
        session.message = plain_message(status.get("message"))
        orphans = [part for part in state.open_parts(session_id) if before(part.id, event_id)]
        told += [each for part in orphans for each in discard(state, part)]
    if session.status == "idle":
        for request_id in [request for request, (asker, _) in state.pending.items() if asker == session_id]:
            told += resolve(state, request_id)
    return told + show_status(state, state.root(session_id))


def show_status(state: State, root: Session) -> list[Normalized]:
    """The status of a root session, when it is another than the one shown."""
    status = root.status
    if status == "busy" and any(state.root(asker) is root for asker, _ in state.pending.values()):
        status = "awaiting_input"
    shown = (status, root.attempt, root.message, root.next_at) if status else None
    if shown is None or shown == root.shown:
        return []
    root.shown = shown
    payload = SessionStatus.model_validate({"status": status, "attempt": root.attempt, "message": root.message, "next_at": root.next_at})
    return [Normalized(payload, root.id, state.turn_of(root.id), None)]


def on_session_error(state: State, properties: Raw, event: Raw) -> list[Normalized]:
    """An error the stream tells before the message that has it; the key is the one that message will give."""
    session = state.session(properties["sessionID"]) if properties.get("sessionID") else None
    error = _error(properties["error"])
    if session is None:
        told = tell(state, SessionError(name=error[0], message=error[1]), f"{event.get('id')}:error", "", None)
        return [Normalized(each.payload, None, None, each.source_key) for each in told]
    asked = session.users[-1] if session.users else event.get("id")
    return session_error(state, session, error, f"{asked}:error:{error[0]}", state.turn_of(session.id))


def on_todos(state: State, session_id: str, raw: list[Raw]) -> list[Normalized]:
    """The whole list of tasks, when it is another."""
    todos = tuple(Todo(content=item["content"], status=item["status"], priority=item.get("priority") or "") for item in raw)
    session = state.session(session_id)
    if todos == session.todos:
        return []
    session.todos = todos
    return [Normalized(TodoUpdated(todos=list(todos)), session_id, state.turn_of(session_id), None)]


# Permissions and questions


def on_permission(state: State, raw: Raw) -> list[Normalized]:
    """The agent asks whether it may."""
    metadata = raw.get("metadata") or {}
    title = next((str(metadata[name]) for name in ("command", "filepath", "path", "url") if metadata.get(name)), ", ".join(raw["patterns"]))
    payload = PermissionRequested(
        request_id=raw["id"],
        permission=raw["permission"],
        patterns=[relative_text(pattern, state.workspaces) for pattern in raw["patterns"]],
        title=relative_text(title, state.workspaces)[:1000],
        always=[relative_text(pattern, state.workspaces) for pattern in raw.get("always") or []],
        tool_call_id=_tool_of(state, raw),
    )
    return _ask(state, raw, "permission", payload)


def on_question(state: State, raw: Raw) -> list[Normalized]:
    """The agent asks something."""
    questions = [QuestionItem.model_validate(item) for item in raw["questions"]]
    return _ask(state, raw, "question", QuestionRequested(request_id=raw["id"], questions=questions, tool_call_id=_tool_of(state, raw)))


def _ask(state: State, raw: Raw, kind: str, payload: Payload) -> list[Normalized]:
    if resolved_key(raw["id"]) in state.seen:
        return []
    state.pending[raw["id"]] = (raw["sessionID"], kind)
    told = tell(state, payload, f"{raw['id']}:asked", raw["sessionID"])
    return told + show_status(state, state.root(raw["sessionID"]))


def on_replied(state: State, properties: Raw, event: Raw) -> list[Normalized]:
    """A permission or a question was answered, by whomever."""
    reply = {"question.replied": "answered", "question.rejected": "rejected"}.get(event["type"]) or properties["reply"]
    state.pending.setdefault(properties["requestID"], (properties["sessionID"], event["type"].partition(".")[0]))
    return resolve(state, properties["requestID"], reply, properties.get("answers") or [])


def resolve(state: State, request_id: str, reply: str = "gone", answers: list[list[str]] | None = None) -> list[Normalized]:
    """A request that waited does so no more."""
    session_id, kind = state.pending.pop(request_id)
    payload: Payload
    if kind == "permission":
        payload = PermissionResolved.model_validate({"request_id": request_id, "reply": reply})
    else:
        payload = QuestionResolved.model_validate({"request_id": request_id, "reply": reply, "answers": answers or []})
    return tell(state, payload, resolved_key(request_id), session_id) + show_status(state, state.root(session_id))


def resolved_key(request_id: str) -> str:
    """The key of a request's end: who answers it and logs that first, uses this one."""
    return f"{request_id}:resolved"


def _tool_of(state: State, raw: Raw) -> str | None:
    call = raw.get("tool") or {}
    message = state.messages.get(call.get("messageID", ""))
    return next((tool_id for tool_id in message.tools if state.tools[tool_id].call_id == call.get("callID")), None) if message else None


Handler = Callable[[State, Raw, Raw], list[Normalized]]
HANDLERS: dict[str, Handler] = {
    "server.heartbeat": on_heartbeat,
    "message.part.delta": on_delta,
    "message.part.updated": lambda state, properties, event: on_part(state, properties["part"], at=properties.get("time") or 0),
    "message.updated": lambda state, properties, event: on_message(state, properties["info"]),
    "session.created": lambda state, properties, event: on_session(state, properties["info"]),
    "session.updated": lambda state, properties, event: on_session(state, properties["info"]),
    "session.status": lambda state, properties, event: on_status(state, properties["sessionID"], properties["status"], event.get("id")),
    "session.idle": lambda state, properties, event: on_status(state, properties["sessionID"], {"type": "idle"}, event.get("id")),
    "session.error": on_session_error,
    "todo.updated": lambda state, properties, event: on_todos(state, properties["sessionID"], properties["todos"]),
    "permission.asked": lambda state, properties, event: on_permission(state, properties),
    "permission.replied": on_replied,
    "question.asked": lambda state, properties, event: on_question(state, properties),
    "question.replied": on_replied,
    "question.rejected": on_replied,
}
