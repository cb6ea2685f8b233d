"""A turn, looked at closely: what it changed, ran and cost, and all of it as a text file."""

from __future__ import annotations

from typing import Any

from doce.events import log
from doce.events.vocabulary import PAYLOADS
from doce.logger import mask
from doce.opencode.transcript import SeenTool
from doce.opencode.turn import Turn
from doce.projects.views import PromptView
from doce_slack import blocks, turns
from doce_slack.blocks import Block
from doce_slack.forms import About, modal
from doce_slack.text import cut, escaped, line

#: Pieces of what is logged whole when it has ended, and what is no part of a turn.
_NOT_READ = ("chat.message.part.added", "chat.reasoning.part", "chat.tool.progress", "job.state", "viewer.count")
TYPES = tuple(sorted(set(PAYLOADS) - set(_NOT_READ)))
#: Files and commands that are listed at most.
FILES, COMMANDS = 25, 12
#: Most of a tool's output in the log, characters.
OUTPUT = 20_000


def turn_of(prompt: PromptView) -> Turn:
    """What became of a prompt so far, from the log."""
    turn = Turn(prompt.id)
    for event in log.of_types(prompt.project_id, TYPES, prompt.seq - 1):
        if turn.over and event.type == "chat.prompt.sent":
            break
        turn.take(event)
    return turn


def details(about: About, turn: Turn) -> dict[str, Any]:
    """The dialog."""
    body: list[Block] = [blocks.section(f"> {escaped(line(turn.prompt, 500))}"), blocks.context(turns.ending(turn) or "⏳ going on")]
    if trouble := turns.trouble(turn):
        body.append(blocks.section(f":warning: {trouble}"))
    files = [f"`{escaped(path)}`{_counts(*counts)}" for path, counts in turn.transcript.files.items()]
    body += _listed("Files", files, FILES)
    ran = [_command(tool) for tool in turn.transcript.tools.values() if tool.name == "bash"]
    body += _listed("Commands", ran, COMMANDS)
    if not files and not ran:
        body.append(blocks.section("It has changed no file and run no command."))
    body += blocks.actions(blocks.button("Full log", "full_log", f"{about.project}:{about.about}"))
    body.append(blocks.context("The full log is put into the thread, as a text file."))
    return modal("details", "This turn", None, about, body)


def _listed(title: str, lines: list[str], most: int) -> list[Block]:
    if not lines:
        return []
    shown = [*lines[:most], *([f"… {len(lines) - most} more"] if len(lines) > most else [])]
    return [blocks.section(f"*{title}* ({len(lines)})\n" + "\n".join(shown))]


def _counts(additions: int | None, deletions: int | None) -> str:
    return "" if additions is None and deletions is None else f"  +{additions or 0} −{deletions or 0}"


def _command(tool: SeenTool) -> str:
    code = tool.metadata.get("exit")
    ending = f"  exit {code}" if code else "  failed" if tool.state == "failed" else ""
    return f"`{escaped(line(mask(str(tool.input.get('command') or tool.title)), 160)).replace('`', 'ˋ')}`{ending}"


def full_log(turn: Turn) -> str:
    """Everything that was said and done, in its order. Secrets are masked."""
    parts = [f"# {turn.prompt}"]
    for kind, id in turn.transcript.order:
        if kind == "message":
            parts.append(turn.transcript.messages[id].text)
        elif tool := turn.transcript.tools.get(id):
            parts.append(_tool(tool))
    if turn.error:
        parts.append(f"{turn.error} {turn.hint}".strip())
    facts = [f"{turn.tokens:,} tokens" if turn.tokens else "", f"${turn.cost:.4f}" if turn.cost else "", turn.state]
    parts.append("— " + " · ".join(fact for fact in facts if fact))
    return mask("\n\n".join(part for part in parts if part.strip())) + "\n"


def _tool(tool: SeenTool) -> str:
    given = "\n".join(f"  {name}: {cut(str(value), OUTPUT)}" for name, value in tool.input.items())
    came = tool.error or tool.output
    return "\n".join(part for part in (f"[{tool.name}] {tool.title}".strip(), given, cut(came, OUTPUT)) if part)
