"""What there is in a Slack: workspaces, people, channels, messages, files, views and sessions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from doce.testing.slack.markup import rich_text

Raw = dict[str, Any]


@dataclass
class Workspace:
    """A team. `bot_user` and `bot_id` are the app's there while it is installed."""

    id: str
    name: str
    domain: str
    bot_user: str = ""
    bot_id: str = ""
    installed: bool = False


@dataclass
class User:
    """A person, or the app's bot user."""

    id: str
    team: str
    name: str
    real_name: str
    is_admin: bool = False
    is_bot: bool = False
    deleted: bool = False
    tz: str = "Europe/Berlin"

    @property
    def email(self) -> str:
        return f"{self.name}@example.com"


@dataclass
class Channel:
    """`kind`: channel (public), group (private), im (one person and the bot, whose id is in `user`), mpim."""

    id: str
    team: str
    name: str
    kind: str = "channel"
    creator: str = ""
    user: str = ""
    created: int = 0
    topic: str = ""
    archived: bool = False
    members: list[str] = field(default_factory=list)


@dataclass
class File:
    """An upload. `shared`: it was completed, by whom and where is in `channels`."""

    id: str
    team: str
    name: str
    size: int = 0
    user: str = ""
    title: str = ""
    alt_text: str = ""
    content: bytes | None = None
    mimetype: str = "application/octet-stream"
    created: int = 0
    shared: bool = False
    deleted: bool = False
    channels: list[str] = field(default_factory=list)
    #: (channel, ts) of every message with it.
    posts: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Stream:
    """How a streamed message comes to be. `parts`, in order: text (a string), tasks and blocks (objects)."""

    started: float
    #: streaming, complete, stopped (by the user) or dead (Slack ended it).
    state: str = "streaming"
    mode: str = "timeline"
    plan: str = ""
    recipient: str = ""
    parts: list[str | Raw] = field(default_factory=list)
    ending: list[Raw] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text so far."""
        return "".join(part for part in self.parts if isinstance(part, str))

    @property
    def tasks(self) -> list[Raw]:
        """Task cards by order of appearance."""
        return [part for part in self.parts if isinstance(part, dict) and part["type"] == "task_update"]

    def blocks(self) -> list[Raw]:
        """As the finished message carries them."""
        found: list[Raw] = []
        if self.mode == "plan" and self.tasks:
            found.append({"type": "plan", "title": self.plan, "tasks": [card(task) for task in self.tasks]})
        text = ""
        end: Raw = {"type": "end"}
        for part in [*self.parts, end]:
            if isinstance(part, str):
                text += part
                continue
            if text:
                found.append({"type": "markdown", "text": text})
                text = ""
            if part["type"] == "task_update" and self.mode != "plan":
                found.append(card(part))
            elif part["type"] == "blocks":
                found.extend(list(part["blocks"]))
        return found + self.ending


def card(task: Raw) -> Raw:
    """A task of a stream as a block."""
    block: Raw = {"type": "task_card", "task_id": task["id"], "title": task["title"], "status": task["status"]}
    for name in ("details", "output"):
        if task.get(name):
            block[name] = rich_text(task[name])
    if task.get("sources"):
        block["sources"] = task["sources"]
    return block


@dataclass(eq=False)
class Message:
    """`text` is in Slack's own markup. An ephemeral message is seen by one person, `only_for`."""

    ts: str
    channel: str
    team: str
    user: str
    text: str = ""
    blocks: list[Raw] = field(default_factory=list)
    attachments: list[Raw] = field(default_factory=list)
    thread_ts: str = ""
    files: list[str] = field(default_factory=list)
    metadata: Raw | None = None
    reactions: dict[str, list[str]] = field(default_factory=dict)
    edited: str = ""
    subtype: str = ""
    bot_id: str = ""
    app_id: str = ""
    username: str = ""
    icon: str = ""
    only_for: str = ""
    broadcast: bool = False
    client_id: str = ""
    unfurls: dict[str, Raw] = field(default_factory=dict)
    stream: Stream | None = None

    @property
    def root(self) -> str:
        """The ts of the thread it is in, or would start."""
        return self.thread_ts or self.ts

    def shown_blocks(self) -> list[Raw]:
        """What is laid out: its own blocks, what was streamed, or its text as one block."""
        if self.blocks:
            return self.blocks
        if self.stream:
            return self.stream.blocks()
        return [rich_text(self.text)] if self.text else []

    def pressable(self) -> list[Raw]:
        """Its blocks with those that hang on it."""
        return [*self.shown_blocks(), *(block for each in (*self.attachments, *self.unfurls.values()) for block in each.get("blocks", []))]

    def full_text(self) -> str:
        """`text`, or what was streamed."""
        return self.stream.text if self.stream and not self.blocks and not self.text else self.text


@dataclass
class View:
    """A modal or App Home as it is open. `raw` is what the app sent; `inputs` what stands in it now, by block and action."""

    id: str
    team: str
    user: str
    raw: Raw
    hash: str
    root: str
    previous: str = ""
    inputs: dict[str, dict[str, Raw]] = field(default_factory=dict)
    open: bool = True
    #: What the app said is wrong, by block id, after a submission.
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def blocks(self) -> list[Raw]:
        found: list[Raw] = self.raw.get("blocks", [])
        return found

    @property
    def title(self) -> str:
        return str(self.raw.get("title", {}).get("text", ""))


@dataclass
class Session:
    """An agent session: a thread in which the app works. `loading`: the words shown while it does."""

    channel: str
    thread_ts: str
    status: str = "active"
    title: str = ""
    initiator: str = ""
    loading: str = ""
    since: float = 0.0
    prompts: list[Raw] = field(default_factory=list)
