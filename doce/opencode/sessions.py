"""Sessions: status, title, tasks, errors, and what the agent asks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from doce.events.vocabulary import (
    Payload,
    PermissionRequested,
    PermissionResolved,
    QuestionItem,
    QuestionRequested,
    QuestionResolved,
    SessionError,
    SessionStatus,
    SessionTitle,
    Todo,
    TodoUpdated,
)
from doce.opencode.answers import discard, error_of, plain_message, session_error
from doce.opencode.paths import relative_text
from doce.opencode.state import Normalized, Session, State, before

Raw = Mapping[str, Any]


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
    return state.tell(SessionTitle(title=title), key, session.id)


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
    error = error_of(properties["error"])
    if session is None:
        told = state.tell(SessionError(name=error[0], message=error[1]), f"{event.get('id')}:error", "", None)
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
    told = state.tell(payload, f"{raw['id']}:asked", raw["sessionID"])
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
    return state.tell(payload, resolved_key(request_id), session_id) + show_status(state, state.root(session_id))


def resolved_key(request_id: str) -> str:
    """The key of a request's end: who answers it and logs that first, uses this one."""
    return f"{request_id}:resolved"


def _tool_of(state: State, raw: Raw) -> str | None:
    call = raw.get("tool") or {}
    message = state.messages.get(call.get("messageID", ""))
    return next((tool_id for tool_id in message.tools if state.tools[tool_id].call_id == call.get("callID")), None) if message else None
