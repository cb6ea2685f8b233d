"""What people write: messages with files, their edits, reactions."""

from __future__ import annotations

import copy
import mimetypes
import re
import secrets
from collections.abc import Sequence

from doce.testing.slack.markup import escape
from doce.testing.slack.person import Person
from doce.testing.slack.refusal import Impossible
from doce.testing.slack.sight import Seen
from doce.testing.slack.things import Channel, File, Message, User
from doce.testing.slack.world import World

URL = re.compile(r"https?://[^\s<>|]+")
BROADCASTS = ("channel", "here", "everyone")


def typed(world: World, who: User, text: str) -> str:
    """Text as Slack's client sends it: names, channels and links become markup, the rest is escaped."""
    names = {user.name: user.id for user in world.users.values() if user.team == who.team}
    rooms = {channel.name: channel.id for channel in world.channels.values() if channel.team == who.team and channel.name}

    def marked(found: re.Match[str]) -> str:
        whole = found[0]
        if whole.startswith("<"):
            return whole if whole[2:-1] in world.users or whole[2:-1] in world.channels else escape(whole)
        if whole.startswith("http"):
            return f"<{escape(whole)}>"
        name = whole[1:]
        if whole[0] == "@" and name in names:
            return f"<@{names[name]}>"
        if whole[0] == "@" and name in BROADCASTS:
            return f"<!{name}>"
        if whole[0] == "#" and name in rooms:
            return f"<#{rooms[name]}|{name}>"
        return escape(whole)

    tokens = re.compile(rf"{URL.pattern}|<[@#][A-Z0-9]+>|(?<![\w])[@#][\w-]+(?:\.[\w-]+)*|[&<>]")
    return tokens.sub(marked, text)


class Writing(Person):
    """Puts words into channels."""

    async def say(
        self,
        who: User | str,
        where: Channel | str,
        text: str,
        *,
        thread: str = "",
        files: Sequence[tuple[str, bytes]] = (),
        broadcast: bool = False,
    ) -> Message:
        """Write something, with files (name, bytes). Slack delivers the events by itself; this does not wait for them."""
        user, channel = self._there(who, where)
        world = self.slack.world
        if channel.kind == "im" and not self.slack.app.messages:
            raise Impossible("the app does not take direct messages")
        if thread and thread not in world.posted[channel.id]:
            raise Impossible(f"there is no thread {thread} in {channel.name}")
        if thread:
            thread = world.posted[channel.id][thread].root
        ids = [self._upload(user, channel, name, content).id for name, content in files]
        message = Message(
            world.new_ts(), channel.id, user.team, user.id, typed(self.slack.world, user, text), thread_ts=thread, files=ids,
            client_id=secrets.token_hex(16),
            subtype="file_share" if ids else "thread_broadcast" if broadcast else "", broadcast=broadcast,
        )  # fmt: skip
        world.add(message)
        for id_ in ids:
            world.files[id_].posts.append((channel.id, message.ts))
        self.slack.events.message(message)
        self.slack.events.file_shared(message)
        links = [url for url in URL.findall(text) if self._unfurled(url)]
        if links:
            self.slack.events.link(message, links)
        return message

    def _unfurled(self, url: str) -> bool:
        host = url.split("/")[2].split(":")[0]
        return any(host == domain or host.endswith(f".{domain}") for domain in self.slack.app.unfurls)

    def _upload(self, user: User, channel: Channel, name: str, content: bytes) -> File:
        world = self.slack.world
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        file = File(
            world.new_id("F"), user.team, name, len(content), user.id, content=content, mimetype=kind, created=int(world.clock.now()),
            shared=True,
            channels=[channel.id],
        )  # fmt: skip
        world.files[file.id] = file
        return file

    async def say_as_bot(self, name: str, where: Channel | str, text: str, *, thread: str = "") -> Message:
        """Something that another app posts."""
        world, channel = self.slack.world, self.slack.world.channel(where)
        message = Message(
            world.new_ts(), channel.id, channel.team, "", text, thread_ts=thread, subtype="bot_message", bot_id="B99999999", username=name
        )
        world.add(message)
        self.slack.events.message(message)
        return message

    async def edit(self, who: User | str, message: Message | Seen, text: str) -> None:
        """Change one's own message. Raises Impossible for somebody else's."""
        message = self._message(message)
        user = self._own(who, message)
        before = copy.deepcopy(message)
        message.text, message.edited = typed(self.slack.world, user, text), self.slack.world.new_ts()
        self.slack.world.changed()
        self.slack.events.changed(message, before)

    async def delete(self, who: User | str, message: Message | Seen) -> None:
        """Remove one's own message."""
        message = self._message(message)
        self._own(who, message)
        self.slack.removed(message)

    def _own(self, who: User | str, message: Message) -> User:
        user = self.slack.world.user(who)
        if message.user != user.id:
            raise Impossible(f"{user.name} did not write that message")
        return user

    async def react(self, who: User | str, message: Message | Seen, name: str) -> None:
        self._there(who, message.channel)
        self.slack.reacted(self._message(message), self.slack.world.user(who).id, name)

    async def unreact(self, who: User | str, message: Message | Seen, name: str) -> None:
        user, message = self.slack.world.user(who), self._message(message)
        if user.id not in message.reactions.get(name, []):
            raise Impossible(f"{user.name} did not react with {name}")
        self.slack.reacted(message, user.id, name, added=False)
