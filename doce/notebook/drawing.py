"""A turn as HTML for a panel. Pure; everything is escaped, nothing of an agent's or a model's runs."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from doce.notebook.show import LINK, link
from doce.opencode.transcript import SeenTool
from doce.opencode.turn import STEPS, Turn

#: Tool lines shown; the ones before are counted.
TOOL_LINES = 12
#: Most of one diff and of the reasoning that is sent, characters.
DIFF_LIMIT = 20_000
REASONING_LIMIT = 20_000
#: Most of all diffs together, characters.
DIFFS_LIMIT = 200_000
PREVIEW_HEIGHTS = {"small": 280, "medium": 440, "tall": 720}
#: What a new project goes through, known before it begins.
FIRST_STEPS = ("project.create", "docker.composeUp", "docker.waitReady", "opencode.sessionCreate", "opencode.sendUserPrompt")
WRITING = ("write", "edit", "multiedit", "patch", "apply_patch")

_GREEN, _RED, _AMBER, _GREY, _BLUE = "#1a7f4b", "#c5372c", "#b26a00", "#8a8178", "#2f6fb3"
_STATES = {
    "queued": _GREY, "working": _BLUE, "completed": _GREEN, "stopped": _AMBER, "failed": _RED, "interrupted": _RED, "broken": _RED,
    "removed": _GREY,
}  # fmt: skip
_STEP_MARKS = {"queued": "○", "running": "▸", "succeeded": "✓", "failed": "✗", "cancelled": "–"}
_TOOL_MARKS = {"running": ("▸", _BLUE), "finished": ("✓", _GREEN), "failed": ("✗", _RED)}
_TODO_MARKS = {"completed": "☑", "in_progress": "▸", "cancelled": "–"}
_ASKS = "waits for you"


def status(turn: Turn, name: str, now: int) -> str:
    """Name, state, time so far (to `now`, epoch ms), tokens, cost, what is deployed; and what went wrong."""
    asks = bool(turn.open_requests)
    state, colour = (_ASKS, _AMBER) if asks else (turn.state, _STATES.get(turn.state, _GREY))
    parts = [f"<b>{html.escape(name)}</b>", f'<span style="{_badge(colour)}">{html.escape(state)}</span>']
    end = turn.ended or (now if turn.began and not turn.over else 0)
    if turn.began and end:
        parts.append(_seconds(max(0, end - turn.began)))
    if turn.tokens:
        parts.append(f"{turn.tokens:,} tokens")
    if turn.cost:
        parts.append(f"${turn.cost:.4f}")
    if turn.deploying:
        parts.append(html.escape(turn.deploying))
    line = " · ".join(parts)
    if turn.state == "queued" and turn.project in ("stopped", "stopping"):
        line += f"<br>The project is {turn.project}; <code>%doce start</code> starts it, and this prompt is next."
    return f"{line}<br><b>{html.escape(turn.error)}</b> {html.escape(turn.hint)}" if turn.error else line


def prompt(turn: Turn) -> str:
    """What was asked."""
    text = " ".join(turn.prompt.split())
    return f'<div style="opacity:.75">› {html.escape(text[:300])}{"…" if len(text) > 300 else ""}</div>' if text else ""


def steps(turn: Turn) -> str:
    """The pipeline that leads to the turn; nothing once the agent has the prompt."""
    if turn.state not in ("queued", "broken") or not turn.steps:
        return ""
    latest = {one.job_type: one for one in turn.steps.values()}
    if turn.state == "queued" and latest.keys() == {FIRST_STEPS[-1]} and latest[FIRST_STEPS[-1]].state == "succeeded":
        # The agent was busy, so the job found nothing to do.
        return '<div style="opacity:.75">○ waits until the turn before it has ended</div>'
    kinds = [*FIRST_STEPS] if FIRST_STEPS[0] in latest else []
    kinds += [kind for kind in latest if kind not in kinds]
    return "".join(_step(STEPS[kind], latest[kind].state if kind in latest else "queued", turn.step) for kind in kinds)


def _step(name: str, state: str, detail: str) -> str:
    look = {"running": "font-weight:600", "queued": "opacity:.55"}.get(state, "")
    more = f' <span style="font-weight:400;opacity:.75">{html.escape(detail)}</span>' if state == "running" and detail else ""
    return f'<div style="{look}">{_STEP_MARKS.get(state, "○")} {html.escape(name)}{more}</div>'


def todos(turn: Turn) -> str:
    """The agent's list of tasks."""
    lines = []
    for one in turn.todos:
        quiet = ' style="opacity:.6"' if one.status == "completed" else ""
        lines.append(f"<div{quiet}>{_TODO_MARKS.get(one.status, '☐')} {html.escape(one.content)}</div>")
    return "".join(lines)


def tools(turn: Turn) -> str:
    """The latest tool calls, a line each."""
    shown = [one for one in turn.transcript.tools.values() if one.name not in ("todowrite", "todoread", "question")]
    lines = [_tool(one) for one in shown[-TOOL_LINES:]]
    before = len(shown) - len(lines)
    return "".join([*([f'<div style="opacity:.6">{before} before</div>'] if before else []), *lines])


def _tool(one: SeenTool) -> str:
    exit_code = one.metadata.get("exit")
    wrong = isinstance(exit_code, int) and exit_code
    mark, colour = _TOOL_MARKS["failed" if wrong else one.state]
    more = f'<span style="color:{_RED}">{html.escape((one.error or "").strip()[:120])}</span>' if one.error else ""
    if wrong:
        more = f'<span style="color:{_RED}">exit {exit_code}</span>'
    subject = str(one.input.get("command") or one.input.get("filePath") or one.title)[:120]
    return (
        f'<div style="white-space:nowrap;overflow:hidden;text-overflow:ellipsis"><span style="color:{colour}">{mark}</span> '
        f"{html.escape(one.name)} <code>{html.escape(subject)}</code> {more}</div>"
    )


def reasoning(turn: Turn) -> str:
    """What the model thought, the end of it when it is long."""
    text = turn.reasoning
    return f'<pre style="white-space:pre-wrap;font-size:12px">{html.escape(text[-REASONING_LIMIT:])}</pre>' if text else "<i>none</i>"


def links(turn: Turn) -> str:
    """Where the site is."""
    return " · ".join(
        link(url, label, style=LINK) for label, url in (("Open preview ↗", turn.preview_url), ("Open live site ↗", turn.site_url)) if url
    )


def frame(turn: Turn, size: str) -> str:
    """The live preview. It has an origin of its own, and may neither leave its frame nor reach the notebook."""
    if not turn.preview_url:
        return "<i>There is no preview yet.</i>"
    return (
        f'<iframe src="{html.escape(turn.preview_url)}" title="Live preview" sandbox="allow-scripts allow-forms allow-same-origin" '
        f'style="width:100%;height:{PREVIEW_HEIGHTS[size]}px;border:1px solid #8884;border-radius:8px;background:#fff"></iframe>'
    )


def files(turn: Turn, changes: Mapping[str, str] | None = None) -> str:
    """The files that changed, each with what was done to it: `changes`, path → diff; before they are known, as the tools tell it."""
    edits: dict[str, list[str]] = {}
    if changes is None:
        for one in turn.transcript.tools.values():
            if one.state == "finished" and one.name in WRITING and (text := _change(one.name, one.input, one.metadata)):
                edits.setdefault(str(one.input.get("filePath") or one.title), []).append(text)
    else:
        room = DIFFS_LIMIT
        for path, text in changes.items():
            room -= len(text)
            edits[path] = [diff(text)] if text and room > 0 else []
    known = turn.transcript.files
    paths = [*known, *(path for path in edits if path not in known)]
    return "".join(_file(path, known.get(path, (None, None)), edits.get(path, [])) for path in paths) or "<i>none</i>"


def _file(path: str, counts: tuple[int | None, int | None], edits: list[str]) -> str:
    more = (
        ""
        if counts == (None, None)
        else f' <span style="color:{_GREEN}">+{counts[0] or 0}</span> <span style="color:{_RED}">−{counts[1] or 0}</span>'
    )
    name = f"<code>{html.escape(path)}</code>{more}"
    return f"<details><summary>{name}</summary>{''.join(edits)}</details>" if edits else f"<div>{name}</div>"


def _change(name: str, given: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    """What one call of a writing tool did, as a diff: the tool's own, or of what it was given."""
    found = metadata.get("filediff")
    text = str(found.get("patch") or "") if isinstance(found, Mapping) else str(metadata.get("diff") or "")
    if text:
        return diff(text)
    if name == "write" and isinstance(given.get("content"), str):
        head = "new file" if metadata.get("exists") is False else "written anew"
        return diff("\n".join([f"@@ {head} @@", *(f"+{line}" for line in given["content"].splitlines())]))
    if isinstance(given.get("oldString"), str) and isinstance(given.get("newString"), str):
        return diff(
            "\n".join([*(f"-{one}" for one in given["oldString"].splitlines()), *(f"+{one}" for one in given["newString"].splitlines())])
        )
    return ""


def diff(text: str) -> str:
    """A unified diff in colour, without the heading: the file's name stands above it."""
    colours = {"+": _GREEN, "-": _RED, "@": _BLUE}
    lines = text[:DIFF_LIMIT].splitlines()
    shown = lines[next((place for place, line in enumerate(lines) if line.startswith("@@")), 0) :]
    drawn = [f'<span style="color:{colours.get(line[:1], "inherit")}">{html.escape(line)}</span>' for line in shown]
    cut = ["…"] if len(text) > DIFF_LIMIT else []
    return f'<pre style="font-size:12px;line-height:1.35;overflow:auto;max-height:420px">{chr(10).join([*drawn, *cut])}</pre>'


def _seconds(ms: int) -> str:
    seconds = ms // 1000
    return f"{seconds} s" if seconds < 60 else f"{seconds // 60} min {seconds % 60} s"


def _badge(colour: str) -> str:
    return f"background:{colour};color:#fff;border-radius:9px;padding:1px 9px;font-size:12px"
