"""App Home, as Slack takes it. Pure; `home` collects what stands in it and publishes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from doce.auth.preferences import Preferences
from doce.chats.channels import ChannelRules
from doce.projects.views import ProjectView
from doce_slack import blocks
from doce_slack.blocks import Block
from doce_slack.card import ICONS
from doce_slack.card import RUNNING as BUSY
from doce_slack.forms import Choices, listed
from doce_slack.text import ago, escaped

#: How many are shown of what runs, of one's own and of what is shared, and of channels.
RUNNING, MINE, SHARED, CHANNELS = 6, 12, 6, 8
#: A hundred blocks are the most that Slack shows.
BLOCKS = 100
VERBOSITIES = (("quiet", "Only the answer"), ("normal", "What matters"), ("full", "Everything"))
NOTICES = (("never", "Never"), ("long", "After long turns"), ("always", "After every turn"))


@dataclass(frozen=True)
class Row:
    """A project with what is known of it beside its view. `thread` is the address of its thread."""

    project: ProjectView
    state: str
    live: str | None
    version: int | None
    thread: str | None


@dataclass(frozen=True)
class Shown:
    """What stands in somebody's App Home. `now` is epoch ms, `channels` None for who does not decide about them."""

    mine: Sequence[Row]
    shared: Sequence[Row]
    more: bool
    preferences: Preferences
    models: Choices
    version: str
    problems: Sequence[str]
    url: str
    now: int
    channels: Sequence[ChannelRules] | None = None
    names: dict[str, str] = field(default_factory=dict)


def tab(shown: Shown) -> dict[str, Any]:
    """The view of somebody who is linked."""
    body: list[Block] = [
        blocks.header("What shall we make?"),
        *blocks.actions(
            blocks.button("New site", "new", style="primary"), blocks.button("Open doce", "open", url=shown.url),
        ),
        blocks.divider(),
    ]  # fmt: skip
    everything = [*shown.mine, *shown.shared]
    running = [row for row in everything if row.state in BUSY]
    if running:
        body.append(blocks.section("*Running now*"))
        for row in running[:RUNNING]:
            body += _running(row)
        body.append(blocks.divider())
    body.append(blocks.section("*Your projects*"))
    if not shown.mine:
        body.append(blocks.section("None yet. Press *New site*, or write me in a sentence what you want."))
    for row in shown.mine[:MINE]:
        body += _project(row, shown.now)
    if shown.more:
        body.append(blocks.context(f"… and more: `/doce list`, or <{shown.url}|doce>."))
    if shown.shared:
        body += [blocks.divider(), blocks.section("*Shared with you*")]
        for row in shown.shared[:SHARED]:
            body += _project(row, shown.now)
    last = [*_defaults(shown), *_channels(shown), blocks.divider(), blocks.context(_status(shown))]
    return _view([*body[: BLOCKS - len(last)], *last])


def stranger(how: str, url: str) -> dict[str, Any]:
    """The view of somebody whom doce does not know yet."""
    body = [
        blocks.header("doce makes sites from sentences"),
        blocks.section("Say what you want, watch it being built in a thread, and put it online, all from here."),
        blocks.section(f"*First, tell me who you are*\n{escaped(how)}"),
        *blocks.actions(blocks.button("Sign in", "open", url=f"{url}/account", style="primary")),
    ]
    return _view(body)


def _view(body: list[Block]) -> dict[str, Any]:
    return {"type": "home", "callback_id": "doce:home", "blocks": body}


def _title(row: Row) -> str:
    return f"{ICONS[row.state]} *{escaped(row.project.name)}*"


def _running(row: Row) -> list[Block]:
    doing = row.project.step or {"needs you": "waits for an answer in its thread", "deploying": "is being put online"}.get(row.state, "")
    text = f"{_title(row)} · {row.state}{f' · {escaped(doing)}' if doing else ''}{_waiting(row)}"
    if row.state == "deploying":
        return [blocks.section(text)]
    return [blocks.section(text, blocks.button("Stop", "stop", row.project.id, style="danger"))]


def _waiting(row: Row) -> str:
    return f" · {row.project.queued_prompts} waiting" if row.project.queued_prompts else ""


def _project(row: Row, now: int) -> list[Block]:
    facts = [row.state if row.state != "live" else "", f"<{row.live}|live v{row.version}>" if row.live else ""]
    text = " · ".join([_title(row), *(fact for fact in facts if fact), ago(now - row.project.updated_at)])
    buttons = blocks.actions(
        blocks.button("Preview", "preview", url=row.project.preview_url) if row.project.preview_url else None,
        blocks.button("Thread", "thread", url=row.thread) if row.thread else None,
        blocks.button("Deploy", "deploy", row.project.id, ask=_replaces(row)) if row.state in ("idle", "live") else None,
        blocks.button("Start", "start", row.project.id) if row.state in ("stopped", "failed") else None,
    )
    return [blocks.section(text), *buttons]


def _replaces(row: Row) -> str | None:
    return f"Replace v{row.version} at {row.live}?" if row.live else None


def _defaults(shown: Shown) -> list[Block]:
    wishes = shown.preferences
    detail = Choices(VERBOSITIES, wishes.verbosity)
    notices = Choices(NOTICES, wishes.notifications)
    return [
        blocks.divider(),
        blocks.section("*Your defaults*"),
        blocks.section("Model of new sites", listed("set_model", "Model", shown.models)),
        blocks.section("How much of a turn is shown", listed("set_verbosity", "Detail", detail)),
        blocks.section("A message when a turn ends", listed("set_notices", "Notice", notices)),
    ]


def _channels(shown: Shown) -> list[Block]:
    if not shown.channels:
        return []
    found: list[Block] = [blocks.divider(), blocks.section("*Channels* (you are an admin)")]
    for rules in shown.channels[:CHANNELS]:
        said = "only what mentions me is for me" if rules.mention else "every reply in my threads is for me"
        project = f" · {escaped(shown.names[rules.project_id])}" if rules.project_id in shown.names else ""
        some = f" · {len(rules.allowed)} may build" if rules.allowed else ""
        other = blocks.button(
            "Take every reply" if rules.mention else "Only mentions", "mention", f"{rules.channel}:{int(not rules.mention)}"
        )
        found.append(blocks.section(f"<#{rules.channel}> · {said}{project}{some}", other))
    return found


def _status(shown: Shown) -> str:
    if not shown.problems:
        return f"doce {escaped(shown.version)} · all is well"
    return f":warning: {' '.join(escaped(one) for one in shown.problems)} · doce {escaped(shown.version)}"
