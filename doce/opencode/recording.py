"""Recorded streams: the raw body of ``/event`` or ``/global/event`` in a file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from doce.errors import BadRequest
from doce.opencode.normalize import normalize
from doce.opencode.resync import hold
from doce.opencode.state import State

Raw = Mapping[str, Any]


def read_recording(path: Path) -> list[Raw]:
    """The events of a recording, those of ``/global/event`` unwrapped. Raises BadRequest for a file that is none."""
    return list(_events(path))


def normalize_file(path: Path, workspace: str | None = None) -> Iterator[dict[str, Any]]:
    """The normalised events of a recording as ``{type, sessionId?, turn?, sourceKey?, payload}``.

    `workspace` is the agent's directory; without it, what the recorded sessions call theirs. Raises BadRequest for a
    file that is not a recording.
    """
    state = State(workspaces=(workspace.rstrip("/"),) if workspace else ())
    for event in read_recording(path):
        if event["type"] == "server.connected":
            hold(state)
        for told in normalize(state, event):
            line = {"type": told.payload.type, "sessionId": told.session_id, "turn": told.turn, "sourceKey": told.source_key}
            yield {**{name: value for name, value in line.items() if value is not None}, "payload": told.payload.wire()}


def _events(path: Path) -> Iterator[Raw]:
    found = 0
    for number, line in enumerate(_lines(path), start=1):
        if not line.startswith("data:"):
            continue
        try:
            event = json.loads(line[5:])
        except ValueError:
            raise BadRequest(f"Line {number} of {path.name} is not JSON after `data:`.", hint=_HINT) from None
        inner = event.get("payload", event) if isinstance(event, dict) else None
        if not isinstance(inner, dict) or not isinstance(inner.get("type"), str):
            raise BadRequest(f"Line {number} of {path.name} is not an event of OpenCode.", hint=_HINT)
        found += 1
        if inner["type"] != "sync":
            yield inner
    if not found:
        raise BadRequest(f"{path.name} holds no events.", hint=_HINT)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise BadRequest(f"There is no file {path}.", hint=_HINT) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"{path.name} cannot be read as text: {error}.", hint=_HINT) from None


_HINT = "Expected is the raw body of OpenCode's /event: lines that begin with `data: {`."
