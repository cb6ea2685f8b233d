"""Text of models, tools and pages as a terminal may show it: nothing in it moves the cursor, renames the window or hides words."""

from __future__ import annotations

import re

#: Escape sequences as a whole; what is split over two pieces loses its escape character below.
_SEQUENCES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_].*?(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]", re.DOTALL)
#: Control characters but newline and tab, and the marks that turn the direction of text.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """`text` without control characters and escape sequences; newlines and tabs stay."""
    return _CONTROLS.sub("", _SEQUENCES.sub("", text.replace("\r\n", "\n")))


def one_line(text: str, limit: int = 100) -> str:
    """`text` on one line of at most `limit` characters."""
    joined = " ".join(printable(text).split())
    return joined if len(joined) <= limit else f"{joined[: limit - 1].rstrip()}…"


def duration(ms: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 4 s``."""
    seconds = ms / 1000
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def count(number: int, noun: str) -> str:
    """``1 file``, ``1,204 tokens``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
