"""Faults on request: ``[[rehearse …]]`` in a prompt plays what a real model or a real day may do.

The table is what people and tests may write; it is also the help text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

HELP = """\
[[rehearse slow 50]]           50 ms before every piece
[[rehearse 429]]               the provider says "too many requests" once; 429 x3: three times
[[rehearse 500 x2]]            the provider fails twice, then works
[[rehearse 401]]               the provider refuses the key, every time
[[rehearse break]]             the connection is cut in the middle of the text, once
[[rehearse error]]             an error arrives in the middle of the stream, once
[[rehearse hang]]              nothing ever comes
[[rehearse ask]]               reads a file outside the workspace: the agent asks for permission
[[rehearse question]]          asks a question with three options and goes on with the answer
[[rehearse long 20000]]        an answer of 20,000 characters
[[rehearse reason 2000]]       2,000 characters of reasoning
[[rehearse run: ls -la]]       runs that command and tells its output
[[rehearse only: some text]]   says just that and uses no tools
[[rehearse subagent]]          lets a sub-agent look around first
[[rehearse parallel]]          three tool calls in one message
"""

_WISH = re.compile(r"\[\[\s*rehearse\s+(\w+)\s*(?::\s*(.*?)|\s+(.*?))?\s*\]\]", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Wish:
    """One fault that was asked for."""

    kind: str
    argument: str = ""

    def number(self, default: int) -> int:
        """The first number in the argument."""
        found = re.search(r"\d+", self.argument)
        return int(found[0]) if found else default


def wishes(prompt: str) -> dict[str, Wish]:
    """What a prompt asks to be played, by kind."""
    found = [Wish(match[1].lower(), (match[2] or match[3] or "").strip()) for match in _WISH.finditer(prompt)]
    return {wish.kind: wish for wish in found}


def without(prompt: str) -> str:
    """The prompt without its wishes."""
    return " ".join(_WISH.sub(" ", prompt).split()) if _WISH.search(prompt) else prompt
