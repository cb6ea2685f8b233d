"""Permissions and questions of the agent, with buttons; afterwards who answered what."""

from __future__ import annotations

from doce.events.vocabulary import PermissionRequested, PermissionResolved, QuestionRequested, QuestionResolved
from doce.logger import mask
from doce_slack import blocks
from doce_slack.blocks import Block
from doce_slack.text import cut, escaped, line

Request = PermissionRequested | QuestionRequested
Resolved = PermissionResolved | QuestionResolved
#: Buttons of a question; with more options it is a list.
BUTTONS = 5
OUTCOMES = {
    "once": "✅ Allowed once", "always": "✅ Allowed in this project", "reject": "⛔ Denied", "timeout": "⌛ Nobody answered in time",
    "gone": "The agent no longer waits for this", "answered": "✅ Answered", "rejected": "⛔ Not answered",
}  # fmt: skip


def about(request: Request) -> str:
    return f"request:{request.request_id}"


def asked(request: Request, project_id: str, asker: str) -> tuple[str, list[Block]]:
    """(plain text, blocks) while it waits."""
    value = f"{project_id}:{request.request_id}"
    until = f"expires <!date^{request.expires_at // 1000}^{{time}}|soon> · " if request.expires_at else ""
    hint = blocks.context(f"{until}<@{asker}> and editors of the project can answer")
    if isinstance(request, PermissionRequested):
        what = escaped(mask(cut(request.title or ", ".join(request.patterns), 2000)))
        body = [blocks.section(f":raised_hand: *doce wants to use {escaped(request.permission)}*\n```{what}```")]
        body += blocks.actions(
            blocks.button("Allow once", "allow", f"{value}:once", style="primary"),
            blocks.button("Always in this project", "always", f"{value}:always"),
            blocks.button("Deny", "deny", f"{value}:reject", style="danger"),
            blocks.button("Deny and say…", "deny_say", value),
        )
        return f"doce wants to use {request.permission}: {line(mask(request.title), 200)}", [*body, hint]
    first = request.questions[0]
    body = [blocks.section(f":raised_hand: *{escaped(first.header or 'doce asks')}*\n{escaped(cut(first.question, 2500))}")]
    options = [(number, option) for number, option in enumerate(first.options)]
    simple = len(request.questions) == 1 and not first.multiple
    if simple and 0 < len(options) <= BUTTONS:
        chosen = [blocks.button(option.label, f"choose{number}", f"{value}:{number}") for number, option in options]
    else:
        chosen = [blocks.button("Answer…", "other", value, style="primary")]
    if simple and 0 < len(options) <= BUTTONS:
        chosen.append(blocks.button("Other…", "other", value))
    chosen.append(blocks.button("Skip", "skip", value, style="danger"))
    described = "\n".join(f"• *{escaped(option.label)}* {escaped(option.description)}" for _, option in options if option.description)
    if described:
        body.append(blocks.section(described))
    if len(request.questions) > 1:
        body.append(blocks.context(f"and {len(request.questions) - 1} more"))
    return f"doce asks: {line(first.question, 200)}", [*body, *blocks.actions(*chosen), hint]


def answered(request: Request, resolved: Resolved, by: str) -> tuple[str, list[Block]]:
    """(plain text, blocks) when it waits no more. `by` says who, mrkdwn."""
    what = request.title if isinstance(request, PermissionRequested) else request.questions[0].question
    said = ""
    if isinstance(resolved, QuestionResolved) and resolved.answers:
        said = ": " + "; ".join(escaped(cut(", ".join(one), 300)) for one in resolved.answers)
    outcome = f"{OUTCOMES.get(resolved.reply, resolved.reply)}{said}{f' by {by}' if by else ''}"
    return outcome, [blocks.context(f"{escaped(line(mask(what), 300))}"), blocks.section(outcome)]
