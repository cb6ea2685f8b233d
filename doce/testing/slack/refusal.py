"""How Slack says no, and how the twin tells a test that a person cannot do something."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """An answer ``{"ok": false, "error": code, …}`` of the Web API."""

    def __init__(self, code: str, *, messages: list[str] | None = None, **more: Any) -> None:
        super().__init__(code)
        self.code = code
        self.more: dict[str, Any] = dict(more)
        if messages:
            self.more |= {"errors": messages, "response_metadata": {"messages": [f"[ERROR] {each}" for each in messages]}}

    def answer(self) -> dict[str, Any]:
        return {"ok": False, "error": self.code, **self.more}


class Impossible(AssertionError):
    """A person cannot do this in Slack: there is no such button, the channel is closed to them, the client refuses."""


class NeverHappened(AssertionError):
    """What a test waited for did not happen in time."""
