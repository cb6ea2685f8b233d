"""Where a command's words go: a terminal, or a pipe that gets plain lines and nothing else."""

from __future__ import annotations

import atexit
import json
import sys
from typing import IO, Any, Protocol

from rich.console import Console
from rich.status import Status
from rich.text import Text

from doce.cli.printable import printable
from doce.errors import DoceError


class Screen(Protocol):
    """What can be shown. Every text may come from a model or a tool; a screen makes it printable."""

    #: A person sits there and can be asked.
    interactive: bool

    def line(self, text: str = "", style: str = "") -> None:
        """A line of its own."""

    def say(self, text: str, style: str = "") -> None:
        """A piece of a text that is still being written."""

    def end(self) -> None:
        """The text is written: what follows begins on a new line."""

    def busy(self, text: str | None) -> None:
        """What is going on right now (None: nothing); replaces what was said before."""


class Terminal:
    """A terminal: colours, a spinner for what is going on, text as it comes."""

    def __init__(self, console: Console | None = None, *, interactive: bool | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)
        self.interactive = sys.stdin.isatty() if interactive is None else interactive
        self._status: Status | None = None
        self._open = False
        # A spinner hides the cursor; however this ends, it comes back.
        atexit.register(self.busy, None)

    def line(self, text: str = "", style: str = "") -> None:
        self.end()
        self._console.print(Text(printable(text), style), soft_wrap=True)

    def say(self, text: str, style: str = "") -> None:
        shown = printable(text)
        if shown:
            # A spinner owns the last line, and so does a text that is being written.
            self.busy(None)
            self._console.print(Text(shown, style), end="", soft_wrap=True)
            self._open = not shown.endswith("\n")

    def end(self) -> None:
        if self._open:
            self._console.print()
            self._open = False

    def busy(self, text: str | None) -> None:
        if text is None or self._open:
            if self._status:
                self._status.stop()
                self._status = None
            return
        shown = Text(printable(text), "dim", no_wrap=True, overflow="ellipsis")
        if self._status:
            self._status.update(shown)
        else:
            self._status = self._console.status(shown, spinner="dots")
            self._status.start()


class Plain:
    """A pipe: whole lines, no colours, no carriage returns."""

    interactive = False

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream or sys.stdout
        self._piece = ""

    def line(self, text: str = "", style: str = "") -> None:
        self.end()
        self._write(printable(text))

    def say(self, text: str, style: str = "") -> None:
        *whole, self._piece = (self._piece + printable(text)).split("\n")
        for line in whole:
            self._write(line)

    def end(self) -> None:
        if self._piece:
            self._write(self._piece)
            self._piece = ""

    def busy(self, text: str | None) -> None:
        """A pipe has no place for what is replaced a moment later."""

    def _write(self, line: str) -> None:
        self._stream.write(f"{line}\n")
        self._stream.flush()


class Nowhere:
    """A screen for nobody: for those who only want to know how it ends."""

    interactive = False

    def line(self, text: str = "", style: str = "") -> None: ...
    def say(self, text: str, style: str = "") -> None: ...
    def end(self) -> None: ...
    def busy(self, text: str | None) -> None: ...


def screen() -> Screen:
    """The screen that stdout is."""
    return Terminal() if sys.stdout.isatty() else Plain()


def put_json(value: Any) -> None:
    """`value` as one line of JSON on stdout."""
    # As one piece: somebody who presses Ctrl-C between two gets a line without its end.
    sys.stdout.write(f"{json.dumps(value, ensure_ascii=False)}\n")
    sys.stdout.flush()


def fail(error: DoceError, *, as_json: bool = False) -> None:
    """Say what went wrong: the sentence and the hint on stderr, with `as_json` doce's one error shape on stdout too."""
    if as_json:
        put_json(error.as_dict())
        return
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text.assemble(("Error: ", "bold red"), printable(error.message)))
    if error.hint:
        console.print(Text(printable(error.hint)))
