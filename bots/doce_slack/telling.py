"""What the reporters of one thread share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from doce.actions.services import Services
from doce.chats.threads import Thread
from doce_slack.posting import Place
from doce_slack.turn_message import TurnMessage
from doce_slack.workspaces import Do


@dataclass(frozen=True)
class Telling:
    """A thread that is being told."""

    services: Services
    thread: Thread
    place: Place
    do: Do
    monotonic: Callable[[], float]
    #: What is open has changed elsewhere: look again.
    wake: Callable[[], None]
    #: First event of everything that is not told to its end: the cursor stays before it.
    open: dict[str, int] = field(default_factory=dict)
    #: Turns that are not told to their end, by prompt.
    shown: dict[str, TurnMessage] = field(default_factory=dict)

    def asker(self, prompt_id: str | None) -> str:
        """The chat user who asked, else who began the thread."""
        shown = self.shown.get(prompt_id or "")
        return shown.asked.external_user if shown and shown.asked else self.thread.external_user
