"""How the demo tells what it does: to a person, or to a machine one JSON object a line."""

from __future__ import annotations

from typing import Any, Protocol

from doce.cli.asking import Asking
from doce.cli.printable import duration
from doce.cli.screen import Nowhere, Screen, put_json
from doce.cli.watch import Turn, Watch
from doce.client import Doce, Event


class Telling(Protocol):
    """What the demo says; `watch` remembers how turns end either way."""

    watch: Watch

    def begin(self, step: str, text: str, **facts: Any) -> None:
        """A step begins."""

    def progress(self, step: str, text: str, fraction: float | None = None) -> None:
        """How far it is."""

    def done(self, step: str, text: str, **facts: Any) -> None:
        """A step is done; `facts` are for machines."""

    def note(self, text: str, **facts: Any) -> None:
        """Something to know."""

    def meet(self, doce: Doce, project: str) -> None:
        """The doce and the project that all this is about."""

    def event(self, event: Event) -> None: ...


class ToPerson:
    """On a screen."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self.watch = Watch(screen)

    def begin(self, step: str, text: str, **facts: Any) -> None:
        self.screen.busy(text)

    def progress(self, step: str, text: str, fraction: float | None = None) -> None:
        self.screen.busy(f"{text} · {fraction:.0%}" if fraction is not None else text)
        if not self.screen.interactive and fraction in (None, 1.0):
            self.screen.line(f"  {text}", "dim")

    def done(self, step: str, text: str, **facts: Any) -> None:
        took = f" ({duration(facts['ms'])})" if "ms" in facts else ""
        self.screen.busy(None)
        self.screen.line(f"✓ {text}{took}", "green")

    def note(self, text: str, **facts: Any) -> None:
        self.screen.busy(None)
        self.screen.line(text)

    def meet(self, doce: Doce, project: str) -> None:
        if self.screen.interactive:
            self.watch.asked = Asking(doce, project, self.screen)

    def event(self, event: Event) -> None:
        self.watch.take(event)


class ToMachine:
    """One JSON object a line: ``step`` always, and what the step is about: ``state``, ``url``, ``seq``, ``type``, ``payload``, ``ms``."""

    def __init__(self) -> None:
        self.watch = Watch(Nowhere())

    def begin(self, step: str, text: str, **facts: Any) -> None:
        put_json({"step": step, "state": "begun", "message": text, **facts})

    def progress(self, step: str, text: str, fraction: float | None = None) -> None:
        put_json({"step": step, "state": "working", "message": text, **({} if fraction is None else {"fraction": fraction})})

    def done(self, step: str, text: str, **facts: Any) -> None:
        put_json({"step": step, "state": "done", "message": text, **facts})

    def note(self, text: str, **facts: Any) -> None:
        put_json({"step": "note", "message": text, **facts})

    def meet(self, doce: Doce, project: str) -> None:
        put_json({"step": "project", "state": "begun", "project": project, "url": doce.address.url})

    def event(self, event: Event) -> None:
        put_json({"step": "event", **event.envelope()})
        self.watch.take(event)


def totals(turns: list[Turn]) -> dict[str, Any]:
    """What the turns came to: files, tokens in and out, US dollars."""
    return {
        "files": sorted({path for turn in turns for path in turn.files}),
        "inputTokens": sum(turn.tokens.input for turn in turns),
        "outputTokens": sum(turn.tokens.output for turn in turns),
        "cost": sum(turn.cost for turn in turns),
    }
