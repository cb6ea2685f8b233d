"""Everything in this Slack by its id or name, and the bell that rings when something of it changes."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Iterable

from doce.testing.slack.clock import Clock
from doce.testing.slack.limits import PROCESSING_S, STREAM_LIFETIME_S
from doce.testing.slack.refusal import Impossible
from doce.testing.slack.things import Channel, File, Message, Session, User, View, Workspace


class World:
    """Everything, and the bell that rings when something of it changes."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.workspaces: dict[str, Workspace] = {}
        self.users: dict[str, User] = {}
        self.channels: dict[str, Channel] = {}
        self.posted: dict[str, dict[str, Message]] = {}
        self.threads: dict[tuple[str, str], list[Message]] = {}
        self.streaming: list[Message] = []
        self.ephemerals: list[Message] = []
        self.files: dict[str, File] = {}
        self.views: dict[str, View] = {}
        #: App Home by (team, user).
        self.homes: dict[tuple[str, str], View] = {}
        self.sessions: dict[tuple[str, str], Session] = {}
        self.version = 0
        self._bell = asyncio.Event()
        self._numbers = itertools.count(1)
        self._last_ts = 0

    # Changes

    def changed(self) -> None:
        """Wake whoever waits for something."""
        self.version += 1
        self._bell.set()
        self._bell = asyncio.Event()

    async def change(self) -> None:
        """Until the next change."""
        await self._bell.wait()

    # Names

    def new_id(self, prefix: str) -> str:
        """An id of Slack's kind: a letter and eight digits, never given twice."""
        return f"{prefix}{next(self._numbers):08d}"

    def new_ts(self) -> str:
        """A timestamp that is later than every other."""
        self._last_ts = max(self._last_ts + 1, int(self.clock.now() * 1_000_000))
        return f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}"

    # Making

    def add_workspace(self, name: str) -> Workspace:
        made = Workspace(self.new_id("T"), name, re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-"))
        self.workspaces[made.id] = made
        self.changed()
        return made

    def add_user(self, workspace: Workspace, name: str, real_name: str = "", *, admin: bool = False, bot: bool = False) -> User:
        made = User(self.new_id("U"), workspace.id, name, real_name or name.capitalize(), is_admin=admin, is_bot=bot)
        self.users[made.id] = made
        self.changed()
        return made

    def add_channel(self, workspace: Workspace, name: str, members: Iterable[str], *, kind: str = "channel", user: str = "") -> Channel:
        who = list(members)
        prefix = {"im": "D", "mpim": "G"}.get(kind, "C")
        made = Channel(self.new_id(prefix), workspace.id, name, kind, who[0] if who else "", user, int(self.clock.now()), members=who)
        self.channels[made.id] = made
        self.posted[made.id] = {}
        self.changed()
        return made

    def direct(self, user: User) -> Channel:
        """The conversation of a person with the app's bot; made when there is none."""
        for channel in self.channels.values():
            if channel.kind == "im" and channel.user == user.id:
                return channel
        bot = self.workspaces[user.team].bot_user
        return self.add_channel(self.workspaces[user.team], "", [user.id, bot], kind="im", user=user.id)

    # Finding

    def user(self, who: User | str) -> User:
        """By itself, id or name. Raises Impossible."""
        if isinstance(who, User):
            return who
        name = who.removeprefix("@")
        for user in self.users.values():
            if name in (user.id, user.name):
                return user
        raise Impossible(f"nobody here is called {who!r}; there are {', '.join(sorted(user.name for user in self.users.values()))}")

    def channel(self, where: Channel | str) -> Channel:
        """By itself, id or name. Raises Impossible."""
        if isinstance(where, Channel):
            return where
        name = where.removeprefix("#")
        for channel in self.channels.values():
            if name in (channel.id, channel.name):
                return channel
        raise Impossible(f"there is no channel {where!r}; there are {', '.join(sorted(each.name for each in self.channels.values()))}")

    def message(self, channel: Channel | str, ts: str) -> Message:
        """Raises Impossible."""
        where = self.channel(channel)
        if ts in self.posted[where.id]:
            return self.posted[where.id][ts]
        for message in self.ephemerals:
            if message.channel == where.id and message.ts == ts:
                return message
        raise Impossible(f"there is no message {ts} in {where.name or where.id}")

    def messages(self, channel: Channel | str) -> list[Message]:
        """Everything in a channel, threads too, oldest first."""
        return list(self.posted[self.channel(channel).id].values())

    def replies(self, channel: str, root: str) -> list[Message]:
        """The thread under a message, without that."""
        return list(self.threads.get((channel, root), []))

    # Messages come and go

    def add(self, message: Message) -> Message:
        if message.only_for:
            self.ephemerals.append(message)
        else:
            self.posted[message.channel][message.ts] = message
            if message.thread_ts and message.thread_ts != message.ts:
                self.threads.setdefault((message.channel, message.thread_ts), []).append(message)
        if message.stream:
            self.streaming.append(message)
        self.changed()
        return message

    def remove(self, message: Message) -> None:
        if message in self.ephemerals:
            self.ephemerals.remove(message)
        else:
            del self.posted[message.channel][message.ts]
            thread = self.threads.get((message.channel, message.thread_ts), [])
            if message in thread:
                thread.remove(message)
        self.changed()

    def expire(self) -> None:
        """End what is too old: streams after five minutes, "processing" after an hour."""
        for session in self.sessions.values():
            if session.status == "processing" and self.clock.now() - session.since >= PROCESSING_S:
                session.status = "active"
        for message in self.streaming:
            assert message.stream
            if message.stream.state == "streaming" and self.clock.now() - message.stream.started >= STREAM_LIFETIME_S:
                message.stream.state = "dead"
        self.streaming = [message for message in self.streaming if message.stream and message.stream.state == "streaming"]
