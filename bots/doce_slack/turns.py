"""A turn as it is shown in Slack: its tasks, its text, what follows it. Pure; `turn_message` sends it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from doce.auth.preferences import Verbosity
from doce.logger import mask
from doce.opencode.transcript import SeenTool
from doce.opencode.turn import Turn
from doce_slack import blocks
from doce_slack.blocks import Block
from doce_slack.text import cut, duration, escaped, harmless, line, settled

#: Most of a task's title, details and output: Slack takes 256.
TITLE, DETAILS = 120, 250
#: Tasks listed in a message that is edited; the ones before are counted.
LISTED = 6
MARKS = {"in_progress": "⏳", "complete": "✓", "pending": "☐"}
_LOOKS = {"read", "grep", "glob", "list", "codesearch", "lsp"}
_WRITES = {"write": "Write", "edit": "Edit", "patch": "Edit", "multiedit": "Edit", "apply_patch": "Edit"}
_QUIET = {"todowrite", "todoread", "question"}
#: Of the agent's reasoning, how much is shown where everything is.
REASONING = 200
_TODO = {"in_progress": "in_progress", "completed": "complete", "cancelled": "complete"}
_BLANKS = re.compile(r"\n{3,}")
ENDINGS = {
    "completed": "✅", "stopped": "🛑 stopped", "failed": "❌ failed", "interrupted": "❌ interrupted", "broken": "❌ could not start",
    "removed": "removed from the queue",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Task:
    """A line about something the agent does. The id stays the same; a failure is told in the title, in calm words."""

    id: str
    title: str
    status: str
    details: str = ""

    def chunk(self) -> dict[str, Any]:
        """As a stream takes it. `details` is added to what is shown, so it is sent once, at the end."""
        made = {"type": "task_update", "id": self.id, "title": self.title, "status": self.status}
        if self.details and self.status == "complete":
            made["details"] = self.details
        return made

    def line(self) -> str:
        details = f" · {escaped(self.details)}" if self.details else ""
        return f"{MARKS.get(self.status, '·')} {escaped(self.title)}{details}"


def tasks(turn: Turn, verbosity: Verbosity) -> list[Task]:
    """What is worth a line, in the order it began: essential tools, todos, and while a project is set up what that does."""
    found = [*_setting_up(turn)]
    if verbosity == "quiet":
        return found
    found += [Task(f"todo{number}", line(todo.content, TITLE), _TODO.get(todo.status, "pending")) for number, todo in enumerate(turn.todos)]
    if verbosity == "full" and (thought := " ".join(turn.reasoning.split())):
        found.append(
            Task("thought", "Thinking" if not turn.over else "Thought", "complete" if turn.over else "in_progress", thought[-REASONING:])
        )
    inner = set(turn.transcript.subagents)
    looks: list[SeenTool] = []
    place = len(found)
    for kind, id in turn.transcript.order:
        tool = turn.transcript.tools.get(id) if kind == "tool" else None
        if tool is None or tool.session_id in inner or not tool.name or tool.name in _QUIET:
            continue
        if tool.name in _LOOKS and verbosity != "full":
            looks.append(tool)
            place = len(found) if len(looks) == 1 else place
        else:
            found.append(_task(tool, turn.over))
    if looks:
        running = not turn.over and any(one.state == "running" for one in looks)
        title = f"Looked at {len(looks)} {'place' if len(looks) == 1 else 'places'}"
        found.insert(place, Task("looked", title, "in_progress" if running else "complete"))
    return found


def _setting_up(turn: Turn) -> list[Task]:
    if turn.state == "queued" and turn.step:
        return [Task("setup", cut(f"Setting up: {turn.step}", TITLE), "in_progress")]
    return []


def _task(tool: SeenTool, over: bool) -> Task:
    failed = tool.state == "failed" or (tool.metadata.get("exit") or 0) != 0
    running = tool.state == "running" and not over
    title = line(mask(_title(tool)), TITLE - 10)
    details = line(mask(_details(tool)), DETAILS)
    return Task(tool.id, f"Failed: {title}" if failed else title, "in_progress" if running else "complete", details)


def _title(tool: SeenTool) -> str:
    given = tool.input
    path = given.get("filePath") or given.get("path") or tool.title
    if tool.name in _WRITES:
        return f"{_WRITES[tool.name]} {path}"
    if tool.name == "bash":
        return f"Run {given.get('command') or tool.title}"
    if tool.name in ("webfetch", "websearch"):
        return f"Read {urlsplit(str(given.get('url', ''))).hostname or given.get('query') or tool.title}"
    if tool.name == "task":
        return f"Sub-agent: {given.get('description') or tool.title}"
    return f"{tool.name.capitalize()} {tool.title}".strip()


def _details(tool: SeenTool) -> str:
    if tool.error:
        return tool.error
    if tool.name == "bash" and tool.state == "finished":
        lines = [one for one in tool.output.splitlines() if one.strip()]
        code = tool.metadata.get("exit")
        return " · ".join(part for part in (lines[-1] if lines else "", f"exit {code}" if code else "") if part)
    diff = tool.metadata.get("filediff")
    if isinstance(diff, dict):
        return f"+{diff.get('additions', 0)} −{diff.get('deletions', 0)}"
    return ""


def text(turn: Turn) -> str:
    """What the agent said, as Markdown that mentions nobody. While it speaks, each text is the beginning of the next."""
    said = _BLANKS.sub("\n\n", turn.answer)
    return harmless((said if turn.over else settled(said)).rstrip())


def ending(turn: Turn, said_by: str | None = None) -> str:
    """How it ended, in a line of mrkdwn: nothing while it goes on."""
    if not turn.over:
        return ""
    by = f" by <@{said_by}>" if said_by and turn.state == "stopped" else ""
    facts = [f"{ENDINGS.get(turn.state, turn.state)}{by}"]
    if turn.began and turn.ended:
        facts.append(duration(turn.ended - turn.began))
    if files := len(turn.transcript.files):
        facts.append(f"{files} {'file' if files == 1 else 'files'}")
    if turn.tokens:
        facts.append(f"{turn.tokens:,} tokens")
    if turn.cost:
        facts.append(f"${turn.cost:.2f}" if turn.cost >= 0.01 else f"${turn.cost:.4f}")
    return " · ".join(facts)


def trouble(turn: Turn) -> str:
    """What went wrong and what to do, mrkdwn."""
    if not turn.over or not turn.error:
        return ""
    return escaped(" ".join(part for part in (turn.error, turn.hint) if part))


def row(turn: Turn, project_id: str, *, preview: str | None) -> list[Block]:
    """The buttons below a turn."""
    if not turn.over:
        return blocks.actions(blocks.button("Stop", "stop", f"{project_id}:{turn.prompt_id}", style="danger"))
    again = turn.state in ("failed", "interrupted", "broken", "stopped")
    label = {"stopped": "Continue", "interrupted": "Resume"}.get(turn.state, "Retry")
    return blocks.actions(
        blocks.button("Preview", "preview", url=preview) if preview else None,
        blocks.button("Deploy", "deploy", project_id, style="primary") if turn.state == "completed" else None,
        blocks.button(label, "again", f"{project_id}:{turn.prompt_id}") if again else None,
        blocks.button("Details", "details", f"{project_id}:{turn.prompt_id}"),
    )


def listed(found: list[Task], most: int) -> str:
    """The last tasks, one a line, mrkdwn of at most so many characters."""
    lines = [one.line() for one in found[-LISTED:]]
    while len(lines) > 1 and sum(map(len, lines)) + len(lines) > most:
        lines.pop(0)
    earlier = len(found) - len(lines)
    return "\n".join([f"… {earlier} earlier", *lines] if earlier > 0 else lines)
