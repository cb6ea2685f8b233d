"""What a person sees: messages with what they show, and what can be pressed in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from doce.testing.slack import layout
from doce.testing.slack.markup import unescape
from doce.testing.slack.things import Channel, Message
from doce.testing.slack.world import World

Raw = dict[str, Any]


@dataclass(frozen=True)
class Control:
    """Something to press or choose from. `options`: value → words."""

    action_id: str
    block_id: str
    type: str
    text: str = ""
    value: str = ""
    url: str = ""
    style: str = ""
    options: dict[str, str] = field(default_factory=dict)
    confirm: str = ""


@dataclass(frozen=True)
class Task:
    """A task card as it stands."""

    id: str
    title: str
    status: str
    details: str = ""
    output: str = ""


@dataclass(frozen=True)
class Seen:
    """One message. `text` is its text or what was streamed, `shown` every word that is laid out, a line for each."""

    ts: str
    channel: str
    user: str
    author: str
    text: str
    shown: str
    thread_ts: str
    blocks: tuple[Raw, ...]
    controls: tuple[Control, ...]
    tasks: tuple[Task, ...]
    plan: str
    reactions: dict[str, tuple[str, ...]]
    files: tuple[str, ...]
    edited: bool
    #: "", streaming, complete, stopped or dead.
    stream: str
    ephemeral: bool
    metadata: Raw | None
    subtype: str

    def control(self, name: str) -> Control:
        """By action id or by its words. Raises KeyError."""
        for each in self.controls:
            if name in (each.action_id, each.text):
                return each
        raise KeyError(f"no {name!r} among {[each.action_id for each in self.controls]}")


def seen(world: World, message: Message) -> Seen:
    laid_out = message.shown_blocks()
    who = world.users.get(message.user)
    stream = message.stream
    tasks = stream.tasks if stream else [task for block in laid_out for task in _cards(block)]
    files = [world.files[each] for each in message.files]
    return Seen(
        ts=message.ts, channel=message.channel, user=message.user, author=message.username or (who.name if who else ""),
        text=message.full_text(),
        shown="\n".join(shown(message)), thread_ts=message.thread_ts, blocks=tuple(laid_out), controls=tuple(controls(message.pressable())),
        tasks=tuple(_task(each) for each in tasks), plan=_plan(message),
        reactions={name: tuple(who) for name, who in message.reactions.items()},
        files=tuple(file.title or file.name for file in files), edited=bool(message.edited), stream=stream.state if stream else "",
        ephemeral=bool(message.only_for), metadata=message.metadata, subtype=message.subtype,
    )  # fmt: skip


def shown(message: Message) -> list[str]:
    """The words of a message, in their order: blocks stand in place of its text."""
    words = [unescape(each) for each in layout.texts(message.shown_blocks()) if each]
    words += [unescape(each) for attachment in [*message.attachments, *message.unfurls.values()] for each in _attached(attachment)]
    return words


def _attached(attachment: Raw) -> list[str]:
    own = [str(attachment[name]) for name in ("pretext", "title", "text") if attachment.get(name)]
    return own + list(layout.texts(attachment.get("blocks", [])))


def _plan(message: Message) -> str:
    if message.stream:
        return message.stream.plan
    return next((str(block["title"]) for block in message.blocks if block["type"] == "plan"), "")


def _cards(block: Raw) -> list[Raw]:
    if block["type"] == "task_card":
        return [block]
    return list(block.get("tasks", [])) if block["type"] == "plan" else []


def _task(raw: Raw) -> Task:
    words = {name: raw.get(name) or "" for name in ("details", "output")}
    flat = {name: value if isinstance(value, str) else "".join(layout.texts(value)) for name, value in words.items()}
    return Task(str(raw.get("id") or raw.get("task_id", "")), raw["title"], raw.get("status", "pending"), **flat)


def controls(laid_out: list[Raw]) -> list[Control]:
    """Everything that can be acted on in blocks."""
    found = []
    for block, element in layout.elements(laid_out):
        options = {each["value"]: each["text"]["text"] for each in element.get("options", [])}
        found.append(
            Control(
                element.get("action_id", ""), block.get("block_id", ""), element["type"], element.get("text", {}).get("text", ""),
                element.get("value", ""), element.get("url", ""), element.get("style", ""), options,
                element.get("confirm", {}).get("text", {}).get("text", ""),
            )
        )  # fmt: skip
    return found


def thread(world: World, channel: Channel | str, ts: str) -> list[Seen]:
    """A message and the replies to it, oldest first; empty when it is gone."""
    where = world.channel(channel)
    root = world.posted[where.id].get(ts)
    return [seen(world, each) for each in ([root] if root else []) + world.replies(where.id, ts)]


def channel(world: World, where: Channel | str) -> list[Seen]:
    """What a channel shows when no thread is open, oldest first."""
    return [seen(world, each) for each in world.messages(where) if each.thread_ts in ("", each.ts) or each.broadcast]


def ephemeral(world: World, user: str, where: Channel | str | None = None) -> list[Seen]:
    """What only this person sees, oldest first."""
    place = world.channel(where).id if where else ""
    return [seen(world, each) for each in world.ephemerals if each.only_for == user and place in ("", each.channel)]
