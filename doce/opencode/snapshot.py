"""Reads a `Snapshot` from the server, for `resync`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from doce.errors import NotFound
from doce.opencode.client import OpenCode
from doce.opencode.resync import Snapshot

#: OpenCode takes a prompt, and ends an aborted answer, a moment before its status says so.
SETTLE_S = 0.5
_TRIES = 3


def take(
    client: OpenCode,
    roots: Iterable[str],
    *,
    known: Callable[[str], bool] = lambda message_id: False,
    sleep: Callable[[float], None] = time.sleep,
) -> Snapshot:
    """The project's sessions as they are now. Blocking; several requests.

    `known(message id)`: the log has this message whole (`State.final`); pages older than one that has such a message
    are not fetched. Statuses are read before and after, and read again with the messages while they differ or an answer
    seems to be without an end. Sessions that are gone are left out. Raises Unavailable.
    """
    roots = list(roots)
    for attempt in range(_TRIES):
        statuses: dict[str, Any] = client.raw("/session/status", dict)
        sessions = [session for root in roots for session in _family(client, root)]
        messages = {str(session["id"]): _messages(client, str(session["id"]), known) for session in sessions}
        snapshot = Snapshot(
            sessions=sessions,
            messages=messages,
            statuses=statuses,
            permissions=client.raw("/permission", list),
            questions=client.raw("/question", list),
            todos={str(session["id"]): client.raw(f"/session/{session['id']}/todo", list) for session in sessions},
        )
        settled = client.raw("/session/status", dict) == statuses and not any(
            _unsettled(snapshot, session_id, known) for session_id in messages
        )
        if settled or attempt == _TRIES - 1:
            break
        sleep(SETTLE_S)
    return snapshot


def _family(client: OpenCode, root: str) -> list[Mapping[str, Any]]:
    """The session and its sub-agents', parents first."""
    try:
        found: list[Mapping[str, Any]] = [client.raw(f"/session/{root}", dict)]
    except NotFound:
        return []
    for session in found:
        found += client.raw(f"/session/{session['id']}/children", list)
    return found


def _messages(client: OpenCode, session_id: str, known: Callable[[str], bool]) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for page in client.raw_message_pages(session_id):
        found = [*page, *found]
        if any(known(str(item["info"]["id"])) for item in page):
            break
    return found


def _unsettled(snapshot: Snapshot, session_id: str, known: Callable[[str], bool]) -> bool:
    """True when an idle session ends in a prompt or in an answer without an end: it may be about to change."""
    messages = snapshot.messages[session_id]
    if session_id in snapshot.statuses or not messages:
        return False
    info = messages[-1]["info"]
    return not known(str(info["id"])) and (info.get("role") == "user" or not (info.get("time") or {}).get("completed"))
