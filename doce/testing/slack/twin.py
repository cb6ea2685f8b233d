"""Slack, whole: the world, its HTTP side, the way to the app and the people."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import secrets
import socket
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from aiohttp import web

from doce.testing.slack import dialogs, methods, shapes, sight
from doce.testing.slack.acting import People
from doce.testing.slack.app import App, Token
from doce.testing.slack.call import Called
from doce.testing.slack.clock import Clock
from doce.testing.slack.courier import Courier, Delivery, Transport
from doce.testing.slack.events import Events
from doce.testing.slack.faults import Faults
from doce.testing.slack.installing import new_code
from doce.testing.slack.limits import Limits
from doce.testing.slack.manifest import apply
from doce.testing.slack.person import Trigger
from doce.testing.slack.refusal import NeverHappened
from doce.testing.slack.requests import Requests
from doce.testing.slack.server import application
from doce.testing.slack.sockets import Sockets
from doce.testing.slack.things import Channel, Message, User, View, Workspace
from doce.testing.slack.world import World

assert methods

Answer = TypeVar("Answer")
Raw = dict[str, Any]


@dataclass(frozen=True)
class Grant:
    """What a person agreed to, until the app fetches its token with the code."""

    team: str
    user: str
    scopes: tuple[str, ...]
    redirect: str
    at: float


class Slack:
    """A Slack of one's own, while its block runs.

    `people` do things; `world` and the methods here show what became of them; `courier.weather`, `faults`, `sockets` and
    `clock` make trouble. `rate` multiplies Slack's rate limits, `float("inf")` switches them off. `ack_timeout` and
    `retry_delays` are in seconds; the delays pass by the twin's clock, so that `advance` brings the next try.
    """

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, rate: float = 1.0, ack_timeout: float = 3.0, clock: Clock | None = None
    ) -> None:
        self.clock = clock or Clock()
        self.world = World(self.clock)
        self.app = App()
        self.limits = Limits(self.clock, rate)
        self.faults = Faults()
        self.courier = Courier(self)
        self.sockets = Sockets(self)
        self.requests = Requests(self)
        self.events = Events(self)
        self.people = People(self)
        self.calls: list[Called] = []
        self.tokens: dict[str, Token] = {self.app.app_token: Token(self.app.app_token, "app", scopes=("connections:write",))}
        self.triggers: dict[str, Trigger] = {}
        self.grants: dict[str, Grant] = {}
        self.ack_timeout = ack_timeout
        self.retry_delays: tuple[float, ...] = (0.0, 60.0, 300.0)
        #: Whether chat.startStream and its like, and agents.sessions.*, exist here.
        self.streams = True
        self.agents = True
        #: Lets the twin's own page show pictures.
        self.page_key = secrets.token_urlsafe(16)
        self._address = (host, port)
        self._runner: web.AppRunner | None = None
        self.url = ""
        self.workspace = self.world.add_workspace("Acme")
        self._furnish()
        # What people do is at hand here, too.
        self.say, self.edit, self.delete = self.people.say, self.people.edit, self.people.delete
        self.react, self.unreact = self.people.react, self.people.unreact
        self.slash, self.shortcut, self.click = self.people.slash, self.people.shortcut, self.people.click
        self.submit, self.close, self.open_home = self.people.submit, self.people.close, self.people.open_home
        self.suggest = self.people.suggest
        self.stop_stream, self.invite, self.kick = self.people.stop, self.people.invite, self.people.kick

    def _furnish(self) -> None:
        """What a test may take for granted: three people (ada administers), two channels with the app, a private one without."""
        people = [
            self.world.add_user(self.workspace, "ada", "Ada Admin", admin=True), self.world.add_user(self.workspace, "ben"),
            self.world.add_user(self.workspace, "cleo"),
        ]  # fmt: skip
        ids = [user.id for user in people]
        self.token = self.install(self.workspace)
        self.world.add_channel(self.workspace, "general", [*ids, self.workspace.bot_user])
        self.world.add_channel(self.workspace, "sites", [*ids, self.workspace.bot_user])
        self.world.add_channel(self.workspace, "secret", ids[:2], kind="group")

    # Its life

    async def __aenter__(self) -> Self:
        self._runner = web.AppRunner(application(self), access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        # With the protocol named, asyncio turns Nagle's algorithm off; else each answer takes 40 ms.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(self._address)
        await web.SockSite(self._runner, listener, backlog=256).start()
        host, port = listener.getsockname()[:2]
        self.url = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.courier.close()
        await self.sockets.close()
        await self.requests.close()
        if self._runner:
            await self._runner.cleanup()

    # The app

    @property
    def api_url(self) -> str:
        """`base_url` of a client."""
        return f"{self.url}/api/"

    @property
    def transport(self) -> Transport:
        """How the app is reached: Socket Mode, or HTTP once `use_http` was called."""
        return self.sockets if self.app.socket else self.requests

    async def use_http(self, url: str, *, check: bool = True) -> None:
        """Reach the app at one request URL for everything; `check` it by a challenge first. Raises Undelivered."""
        if check:
            await self.requests.verify(url)
        self.app.events_url = self.app.commands_url = self.app.interactivity_url = url

    def use_socket(self) -> None:
        """Reach the app over Socket Mode, as at the start."""
        self.app.events_url = self.app.commands_url = self.app.interactivity_url = ""

    def apply(self, manifest: Mapping[str, Any]) -> None:
        """From now on the app gets what its manifest asks for, and nothing else, as if it had been installed anew. Raises BadManifest."""
        apply(self.app, manifest)
        for token in self.tokens.values():
            if token.kind == "bot":
                token.scopes = self.app.scopes
        for workspace in self.world.workspaces.values():
            if bot := self.world.users.get(workspace.bot_user):
                bot.name, bot.real_name = self.app.name.lower().replace(" ", "_"), self.app.name
        self.world.changed()

    def install(self, workspace: Workspace, *, scopes: tuple[str, ...] = ()) -> str:
        """Put the app into a workspace; its bot token there. Again: a new token, the same bot."""
        if not workspace.bot_user:
            workspace.bot_user = self.world.add_user(workspace, self.app.name, self.app.name, bot=True).id
            workspace.bot_id = self.world.new_id("B")
        workspace.installed = True
        value = f"xoxb-{workspace.id[1:]}-{secrets.token_hex(12)}"
        self.tokens[value] = Token(value, "bot", workspace.id, workspace.bot_user, scopes or self.app.scopes)
        self.world.changed()
        return value

    def fix(self, *, bot_token: str | None = None, app_token: str | None = None, signing_secret: str | None = None) -> None:
        """Use these secrets in place of the ones that were made up."""
        for old, new in ((self.token, bot_token), (self.app.app_token, app_token)):
            if new:
                token = self.tokens.pop(old)
                token.value = new
                self.tokens[new] = token
        self.token = bot_token or self.token
        self.app.app_token = app_token or self.app.app_token
        self.app.signing_secret = signing_secret or self.app.signing_secret

    def grant(self, team: str, user: str, scopes: tuple[str, ...], redirect: str) -> str:
        """A person agrees to an installation; the code for it."""
        who = user or next(each.id for each in self.world.users.values() if each.team == team and not each.is_bot)
        code = new_code()
        self.grants[code] = Grant(team, who, scopes, redirect, self.clock.now())
        return code

    def uninstall(self, workspace: Workspace | None = None, *, told: bool = True) -> None:
        """Take the app out of a workspace: its tokens die and it is told; not `told` when it was its own wish."""
        where = workspace or self.workspace
        where.installed = False
        for token in self.tokens.values():
            if token.team == where.id:
                token.revoked = True
        self.world.changed()
        self.events.uninstalled(where, by_person=told)

    def token_with(self, *names: str) -> str:
        """A further bot token of the first workspace, with only these scopes."""
        return self.install(self.workspace, scopes=names)

    # What changes for people and app alike

    def reacted(self, message: Message, user: str, name: str, *, added: bool = True) -> None:
        """Somebody's reaction comes or goes."""
        users = message.reactions.setdefault(name, [])
        if added == (user in users):
            return
        users.append(user) if added else users.remove(user)
        if not users:
            del message.reactions[name]
        self.world.changed()
        self.events.reaction(message, user, name, added=added)

    def removed(self, message: Message) -> None:
        """A message is deleted."""
        if message.only_for:
            if message in self.world.ephemerals:
                self.world.remove(message)
            return
        if self.world.replies(message.channel, message.ts):
            self._bury(message)
            return
        before = shapes.message(self, message)
        self.world.remove(message)
        self.events.deleted(message, before)

    def _bury(self, root: Message) -> None:
        """Where replies remain, a stone stands in place of the message that they are replies to."""
        before = copy.deepcopy(root)
        root.subtype, root.user, root.text, root.bot_id, root.app_id = "tombstone", "USLACKBOT", "This message was deleted.", "", ""
        root.blocks, root.attachments, root.files, root.reactions, root.unfurls = [], [], [], {}, {}
        root.metadata = root.stream = None
        self.world.changed()
        self.events.changed(root, before)

    def joined(self, channel: Channel, user: str, *, inviter: str = "") -> None:
        """Somebody is in a channel from now on."""
        channel.members.append(user)
        self.world.changed()
        self.events.member(channel, user, inviter=inviter)

    def left(self, channel: Channel, user: str, *, remover: str = "") -> None:
        """Somebody is not in a channel any more."""
        channel.members.remove(user)
        self.world.changed()
        self.events.member(channel, user, inviter=remover, joined=False)

    def permalink(self, message: Message) -> str:
        """Where a person finds a message."""
        query = f"?thread_ts={message.thread_ts}&cid={message.channel}" if message.thread_ts else ""
        return f"{self.url}/archives/{message.channel}/p{message.ts.replace('.', '')}{query}"

    def advance(self, seconds: float) -> None:
        """Move the time forward: streams end, triggers and addresses expire, the next try of a delivery falls due."""
        self.clock.advance(seconds)
        self.world.expire()
        self.world.changed()

    # Looking

    def direct(self, who: User | str) -> Channel:
        """The direct conversation of a person and the bot."""
        return self.world.direct(self.world.user(who))

    def user(self, who: str) -> User:
        return self.world.user(who)

    def channel(self, where: str) -> Channel:
        return self.world.channel(where)

    def thread(self, channel: Channel | str, ts: str) -> list[sight.Seen]:
        """A thread as a person sees it, its root first."""
        self.world.expire()
        return sight.thread(self.world, channel, ts)

    def messages(self, channel: Channel | str) -> list[sight.Seen]:
        """A channel as a person sees it, oldest first."""
        return sight.channel(self.world, channel)

    def ephemeral(self, who: User | str, channel: Channel | str | None = None) -> list[sight.Seen]:
        """What only this person sees, oldest first."""
        return sight.ephemeral(self.world, self.world.user(who).id, channel)

    def modal(self, who: User | str) -> View | None:
        """The dialog in front of a person."""
        return dialogs.top(self.world, self.world.user(who).id)

    def home(self, who: User | str) -> View | None:
        """The App Home of a person."""
        user = self.world.user(who)
        return self.world.homes.get((user.team, user.id))

    def called(self, method: str) -> list[Called]:
        """The calls of a method so far."""
        return [each for each in self.calls if each.method == method]

    def delivered(self, kind: str) -> list[Delivery]:
        """What was sent to the app: by kind, or by the type of event or interaction."""
        return [each for each in self.courier.sent if kind in (each.kind, each.event.get("type"))]

    @property
    def acks(self) -> list[float]:
        """How long each acknowledgement took, seconds, in order of arrival."""
        return [attempt.seconds for each in self.courier.sent for attempt in each.attempts if attempt.outcome == "ok"]

    @property
    def exceeded(self) -> Counter[str]:
        """How often each method was called more than allowed."""
        return self.limits.exceeded

    # Waiting

    async def until(self, so: Callable[[World], Answer], timeout: float = 10.0) -> Answer:
        """What `so` says of the world once that is true; looked at after every change. Raises NeverHappened, with the last state."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not (found := so(self.world)):
                    await self.world.change()
                return found
        raise NeverHappened(f"not within {timeout:g} s. {self.describe()}")

    async def connected(self, count: int = 1, timeout: float = 10.0) -> None:
        """Until the app has so many connections."""
        await self.until(lambda _: len(self.sockets.connections) >= count, timeout)

    async def settled(self) -> None:
        """Until everything that was sent is acknowledged or given up."""
        await self.courier.settled()

    def describe(self) -> str:
        """The last messages and calls, for somebody who wonders why a test failed."""
        lines = ["What there is:"]
        for channel in self.world.channels.values():
            for message in self.world.messages(channel)[-8:]:
                seen = sight.seen(self.world, message)
                said = (seen.shown or seen.text)[:200]
                lines.append(f"  #{channel.name or channel.id} {seen.ts} {seen.author}: {said!r} {dict(seen.reactions) or ''}")
        lines += [f"  only {self.world.users[each.only_for].name} sees: {sight.shown(each)}" for each in self.world.ephemerals[-4:]]
        lines += [f"  call {each.method} → {each.error or 'ok'}" for each in self.calls[-8:]]
        lines += [
            f"  sent {each.event.get('type') or each.kind}: {[tried.outcome for tried in each.attempts]}" for each in self.courier.sent[-6:]
        ]
        return "\n".join(lines)
