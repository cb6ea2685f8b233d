"""Reading a request: what was asked, and what has been done about it so far."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_ROOT = re.compile(r"(?:Workspace root folder|Working directory): *(/\S+)")
_LINE = re.compile(r"^(\d+): ?(.*)$")
_FAILED = re.compile(r"^(File not found|Could not find oldString|Error|ripgrep execution failed|.*not found)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Done:
    """A tool call of this turn and what came of it."""

    name: str
    arguments: Mapping[str, Any]
    result: str

    @property
    def path(self) -> str:
        return str(self.arguments.get("filePath", ""))

    @property
    def failed(self) -> bool:
        return bool(_FAILED.match(self.result.strip()))


@dataclass(frozen=True, slots=True)
class Conversation:
    """A request, understood."""

    #: What the person asked last, in this turn.
    prompt: str
    #: What they asked before, oldest first.
    earlier: tuple[str, ...]
    #: The workspace, absolute.
    root: str
    system: str
    #: Names of the tools that are offered.
    tools: frozenset[str]
    #: How many of our messages with tool calls have been answered in this turn.
    rounds: int
    done: tuple[Done, ...]

    def file(self, path: str) -> str | None:
        """The text of a file that was read in this turn; None when it was not there."""
        for call in reversed(self.done):
            if call.name == "read" and call.path == f"{self.root}/{path}" and "<content>" in call.result:
                return _content(call.result)
        return None

    def listing(self) -> set[str]:
        """Names in the workspace's top folder, as its listing was read in this turn."""
        for call in self.done:
            if call.name == "read" and call.path.rstrip("/") == self.root:
                return {line.strip().rstrip("/") for line in re.sub(r"</?\w+>", "\n", call.result).splitlines() if line.strip()}
        return set()


def understand(request: Mapping[str, Any]) -> Conversation:
    """Never raises: whatever is missing is empty."""
    messages = [message for message in request.get("messages", []) if isinstance(message, Mapping)]
    system = "\n".join(text_of(message) for message in messages if message.get("role") in ("system", "developer"))
    asked = [index for index, message in enumerate(messages) if message.get("role") == "user"]
    last = asked[-1] if asked else len(messages)
    turn = messages[last + 1 :]
    root = _ROOT.search(system)
    tools = [tool.get("function", {}).get("name", "") for tool in request.get("tools") or [] if isinstance(tool, Mapping)]
    rounds, done = _done(turn)
    return Conversation(
        prompt=text_of(messages[last]) if asked else "",
        earlier=tuple(text_of(messages[index]) for index in asked[:-1]),
        root=(root[1] if root else "").rstrip("/"),
        system=system,
        tools=frozenset(tools),
        rounds=rounds,
        done=done,
    )


def text_of(message: Mapping[str, Any]) -> str:
    """A message's words, whether it has them plain or in parts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, Sequence) else []
    return "\n".join(str(part.get("text", "")) for part in parts if isinstance(part, Mapping) and part.get("type") == "text")


def _done(turn: Sequence[Mapping[str, Any]]) -> tuple[int, tuple[Done, ...]]:
    """Calls with an answer. A message that was cut off before its calls were answered does not count."""
    results = {message.get("tool_call_id"): text_of(message) for message in turn if message.get("role") == "tool"}
    rounds, done = 0, []
    for message in turn:
        calls = [call for call in message.get("tool_calls") or [] if isinstance(call, Mapping) and call.get("id") in results]
        rounds += bool(calls)
        for call in calls:
            function = call.get("function", {})
            done.append(Done(str(function.get("name")), _arguments(function.get("arguments")), results[call["id"]]))
    return rounds, tuple(done)


def _arguments(text: Any) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (TypeError, ValueError):
        return {}
    return found if isinstance(found, Mapping) else {}


def _content(result: str) -> str:
    """The text out of the read tool's numbered lines."""
    body = result.partition("<content>")[2].rpartition("</content>")[0]
    lines = [found[2] for line in body.split("\n") if (found := _LINE.match(line))]
    return "\n".join(lines) + "\n" if lines else ""
