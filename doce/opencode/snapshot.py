"""Reads a `Snapshot` from the server, for `resync`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

from doce.errors import NotFound
from doce.opencode.resync import Snapshot

T = TypeVar("T")
_TRIES = 5


class Reader(Protocol):
    """What of the client is needed: answers as they are sent."""

    def raw(self, path: str, shape: Callable[[], T]) -> T: ...

    def raw_message_pages(self, session_id: str) -> Iterator[list[dict[str, Any]]]: ...


def take(client: Reader, roots: Iterable[str], *, known: Callable[[str], bool] = lambda message_id: False) -> Snapshot:
    """The project's sessions as they are now. Blocking; several requests.

    `known(message id)`: the log has this message whole (`State.final`); pages older than one that has such a message
    are not fetched. Read again while a status changes meanwhile, so that the lists and the statuses agree. Sessions that
    are gone are left out. Raises Unavailable.
    """
    roots = list(roots)
    statuses: dict[str, Any] = client.raw("/session/status", dict)
    for _ in range(_TRIES):
        sessions = [session for root in roots for session in _family(client, root)]
        snapshot = Snapshot(
            sessions=sessions,
            messages={str(session["id"]): _messages(client, str(session["id"]), known) for session in sessions},
            statuses=statuses,
            permissions=client.raw("/permission", list),
            questions=client.raw("/question", list),
            todos={str(session["id"]): client.raw(f"/session/{session['id']}/todo", list) for session in sessions},
        )
        before, statuses = statuses, client.raw("/session/status", dict)
        if before == statuses:
            break
    return snapshot


def _family(client: Reader, root: str) -> list[Mapping[str, Any]]:
    """The session and its sub-agents', parents first."""
    try:
        found: list[Mapping[str, Any]] = [client.raw(f"/session/{root}", dict)]
    except NotFound:
        return []
    for session in found:
        found += client.raw(f"/session/{session['id']}/children", list)
    return found


def _messages(client: Reader, session_id: str, known: Callable[[str], bool]) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for page in client.raw_message_pages(session_id):
        found = [*page, *found]
        if any(known(str(item["info"]["id"])) for item in page):
            break
    return found
