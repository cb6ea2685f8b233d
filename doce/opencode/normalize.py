"""From OpenCode's stream to doce's events: deterministic, no I/O. The same functions read the message list after a gap.

What is told is decided by facts with an identity (`Normalized.source_key`), so an event that comes twice, late, or by
the other way is told once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from doce.opencode.answers import on_delta, on_heartbeat, on_message, on_part
from doce.opencode.sessions import on_permission, on_question, on_replied, on_session, on_session_error, on_status, on_todos
from doce.opencode.sessions import resolved_key as resolved_key
from doce.opencode.state import Normalized, State

Raw = Mapping[str, Any]
#: Known and of no interest: they say nothing about the work, or say it a second time.
IGNORED = frozenset(
    "server.connected server.instance.disposed global.disposed session.diff session.deleted session.compacted "
    "file.edited file.watcher.updated plugin.added catalog.updated reference.updated integration.updated".split()
)


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
