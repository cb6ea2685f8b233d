"""App Home: published when somebody opens it, and again when something of their projects changes while it is likely open."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from doce import addresses
from doce.actions.account import Nothing
from doce.actions.registry import ACTIONS, perform
from doce.auth import preferences
from doce.auth.users import Person
from doce.chats.channels import ChannelRules
from doce.chats.threads import Thread
from doce.errors import DoceError
from doce.events import log
from doce.projects.views import ProjectView
from doce_slack.beginnings import greeting
from doce_slack.calls import Lost, Refused
from doce_slack.card import state
from doce_slack.conversation import Conversation
from doce_slack.models import Models
from doce_slack.tab import CHANNELS, MINE, SHARED, Row, Shown, stranger, tab
from doce_slack.workspaces import KIND, Workspace

logger = logging.getLogger(__name__)

#: Between two publications of one person's, seconds.
REST_S = 3.0
#: Longest that it waits for lists of models; what comes later is shown then, seconds.
LOOK_S = 0.3
#: Slack does not say when a home is closed: so long after it was opened it is taken for that, seconds.
OPEN_S = 1800.0
#: Most homes that are kept up to date, and addresses of threads that are remembered.
HOMES, LINKS = 500, 2000
#: Projects of others that are remembered as not theirs.
OTHERS = 1000
#: What changes what stands there.
_NEWS = re.compile(
    rb'"type":"(?:project\.|production\.|chat\.prompt\.|chat\.permission\.|chat\.question\.)[^"]*","projectId":"(prj_[0-9a-z]+)"'
)
PROMPTS = (
    ("A portfolio", "new a portfolio for a ceramicist, warm colours, a page for each work"),
    ("A landing page", "new a landing page for a bakery in Porto with opening hours and a map"),
    ("An event", "new a page for our summer party with a programme and directions"),
    ("What I have", "list"),
)


@dataclass(eq=False)
class Open:
    """A home that may be open. `projects` are shown in it, `others` are known to be none of theirs."""

    workspace: Workspace
    user: str
    person: Person
    until: float
    projects: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)
    at: float = float("-inf")
    due: bool = False


class Home:
    """`opened` publishes; `run` publishes again; `changed` is told what a person changed themselves."""

    def __init__(self, conversation: Conversation, models: Models, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._talk, self._models = conversation, models
        self._services, self._do = conversation.services, conversation.do
        self._monotonic = monotonic
        self._homes: OrderedDict[tuple[str, str], Open] = OrderedDict()
        self._links: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._rung = asyncio.Event()
        self._greeting: set[str] = set()

    # Opened

    async def opened(self, workspace: Workspace, user: str) -> None:
        """Somebody looks at it now."""
        person = await self._talk.people.who(workspace.team, user)
        if person is None:
            self._homes.pop((workspace.team, user), None)
            view = stranger(self._talk.people.how_to_link(), addresses.doce_url(self._services.settings))
            await workspace.attempt("views.publish", user_id=user, view=view, urgent=True)
            return
        home = self._homes.pop((workspace.team, user), None) or Open(workspace, user, person, 0.0)
        home.person, home.until = person, self._monotonic() + OPEN_S
        self._homes[workspace.team, user] = home
        while len(self._homes) > HOMES:
            self._homes.popitem(last=False)
        await self._publish(home)

    def changed(self, team: str, user: str) -> None:
        """A person changed something that stands there."""
        if home := self._homes.get((team, user)):
            home.due = True
            self._rung.set()

    async def greet(self, workspace: Workspace, user: str, channel: str) -> None:
        """An empty conversation begins with things to say: Slack's suggestions, where it has them, else buttons."""
        if channel in self._greeting:
            return
        self._greeting.add(channel)
        try:
            said = await workspace.attempt("conversations.history", channel=channel, limit=1)
            if said is None or said.get("messages"):
                return
            prompts = [{"title": title, "message": message} for title, message in PROMPTS]
            try:
                await workspace.call(
                    "assistant.threads.setSuggestedPrompts", channel_id=channel, prompts=prompts, title="What shall I make?"
                )
            except Refused as error:
                logger.info("Slack takes no suggestions (%s): a greeting with buttons it is", error.code)
                text, body = greeting()
                await workspace.attempt("chat.postMessage", channel=channel, text=text, blocks=body)
        except Lost as error:
            logger.info("nobody was greeted: %s", error.message)
        finally:
            self._greeting.discard(channel)

    # Kept up to date

    async def run(self) -> None:
        """Until cancelled."""
        subscription = self._services.feed.subscribe(None, log.head())
        publishing = asyncio.create_task(self._republish(), name="slack-home")
        try:
            async for chunk in subscription:
                for found in set(_NEWS.findall(chunk)):
                    await self._news(found.decode())
        finally:
            subscription.close()
            publishing.cancel()
            await asyncio.gather(publishing, return_exceptions=True)

    async def _news(self, project_id: str) -> None:
        now = self._monotonic()
        for key, home in list(self._homes.items()):
            if home.until <= now:
                del self._homes[key]
            elif project_id in home.projects or await self._is_theirs(home, project_id):
                home.due = True
                self._rung.set()

    async def _is_theirs(self, home: Open, project_id: str) -> bool:
        if project_id in home.others:
            return False
        if await self._do(self._services.projects.may_see, project_id, home.person.id):
            home.projects.add(project_id)
            return True
        if len(home.others) < OTHERS:
            home.others.add(project_id)
        return False

    async def _republish(self) -> None:
        while True:
            self._rung.clear()
            due = [home for home in self._homes.values() if home.due]
            now = self._monotonic()
            for home in due:
                if home.at + REST_S <= now:
                    try:
                        await self._publish(home)
                    except DoceError as error:
                        logger.warning("App Home was not brought up to date: %s", error.message)
                    except Exception:  # one home that breaks must not keep the others from being brought up to date
                        logger.exception("App Home could not be brought up to date")
            waits = [max(0.05, home.at + REST_S - now) for home in self._homes.values() if home.due]
            try:
                async with asyncio.timeout(min(waits, default=None)):
                    await self._rung.wait()
            except TimeoutError:
                continue

    async def _publish(self, home: Open) -> None:
        home.due, home.at = False, self._monotonic()
        await self._models.look_up(home.person, LOOK_S, later=lambda: self.changed(home.workspace.team, home.user))
        shown, threads = await self._do(self._collect, home)
        await self._send(home, shown, threads)
        new = [one for one in threads.values() if (one.channel, one.root) not in self._links]
        if new:
            # Addresses of threads are asked for one by one: what is known is shown meanwhile.
            await asyncio.gather(*(self._look_up(home.workspace, one) for one in new))
            await self._send(home, shown, threads)

    async def _send(self, home: Open, shown: Shown, threads: dict[str, Thread]) -> None:
        def placed(rows: Sequence[Row]) -> list[Row]:
            at = {row.project.id: threads.get(row.project.id) for row in rows}
            return [
                replace(row, thread=self._links.get((one.channel, str(one.root))) if (one := at[row.project.id]) else None) for row in rows
            ]

        view = tab(replace(shown, mine=placed(shown.mine), shared=placed(shown.shared)))
        await home.workspace.attempt("views.publish", user_id=home.user, view=view)

    async def _look_up(self, workspace: Workspace, thread: Thread) -> None:
        """The address of a thread, asked for once."""
        answer = await workspace.attempt(
            "chat.getPermalink", fine=("message_not_found", "channel_not_found"), channel=thread.channel, message_ts=thread.root
        )
        if answer is None:
            return
        self._links[thread.channel, str(thread.root)] = str(answer["permalink"])
        while len(self._links) > LINKS:
            self._links.popitem(last=False)

    def _collect(self, home: Open) -> tuple[Shown, dict[str, Thread]]:
        """(what is shown, the thread of each project)"""
        services, person = self._services, home.person
        found = services.projects.list(person.id, limit=100)
        mine = [one for one in found.items if one.owner_user_id == person.id]
        shared = [one for one in found.items if one.owner_user_id != person.id]
        shown = [*mine[:MINE], *shared[:SHARED]]
        home.projects = {one.id for one in found.items}
        threads = {one.id: thread for one in shown if (thread := self._thread(home, one.id))}
        wishes = preferences.of(person.id)
        condition = perform(ACTIONS["health.details"], services, person, Nothing())
        channels = self._channels(home) if person.is_admin else None
        return Shown(
            mine=[self._row(one) for one in mine[:MINE]], shared=[self._row(one) for one in shared[:SHARED]],
            more=len(mine) > MINE or len(shared) > SHARED or found.next is not None, preferences=wishes,
            models=self._models.choices(person), version=condition.version,
            problems=condition.problems, url=addresses.doce_url(services.settings), now=services.clock.now_ms(), channels=channels,
            names={one.id: one.name for one in found.items},
        ), threads  # fmt: skip

    def _row(self, project: ProjectView) -> Row:
        production = self._services.productions.view(project.id)
        asks = bool(self._services.requests.pending(project.id)) if project.agent == "working" else False
        return Row(project, state(project, production, asks=asks), production.url, production.version, None)

    def _thread(self, home: Open, project_id: str) -> Thread | None:
        """A thread of the project where this person can look."""
        for one in self._services.chats.threads.of_project(KIND, project_id):
            if one.team == home.workspace.team and one.root and (one.external_user == home.user or not one.channel.startswith("D")):
                return one
        return None

    def _channels(self, home: Open) -> list[ChannelRules]:
        """Channels of the workspace in which doce has threads or rules, the last used first."""
        chats, team = self._services.chats, home.workspace.team
        used = [one.channel for one in reversed(chats.threads.open(KIND)) if one.team == team and not one.channel.startswith("D")]
        ruled = [one.channel for one in chats.channels.list() if one.team == team and not one.channel.startswith("D")]
        names = list(dict.fromkeys([*used, *ruled]))[:CHANNELS]
        return [chats.channels.rules(KIND, team, name) for name in names]
