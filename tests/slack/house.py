"""A real `doce serve` of its own with the twin of Slack in front: ada (admin) and ben are linked, cleo is not.

The twin lives in a thread with a loop of its own, so that it survives the doce that is killed, and tests are plain functions.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx

from doce.client.reading import Event
from doce.opencode.turn import Turn
from doce.testing.slack import Message, Seen, Slack
from doce_slack import turns
from tests.system.house import House, house

Answer = TypeVar("Answer")
FREE = float("inf")
TURN_S = 90.0
OVER = ("✅", "🛑", "❌")


class Office:
    """Slack and doce. `town` is the twin; what is said and clicked goes through here."""

    def __init__(self, home: House, town: Slack, loop: asyncio.AbstractEventLoop) -> None:
        self.home, self.town, self._loop = home, town, loop
        #: How many prompts a thread's project had before it.
        self._before: dict[str, int] = {}
        self._site = ""

    def run(self, work: Coroutine[Any, Any, Answer], timeout_s: float = 180) -> Answer:
        """Something of the twin's, in its loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    def look(self, see: Callable[[], Answer]) -> Answer:
        """What the twin shows, between two of its changes."""

        async def do() -> Answer:
            return see()

        return self.run(do())

    def until(self, see: Callable[[], Answer], timeout_s: float = 20.0) -> Answer:
        """What `see` says once it is true; looked at after every change in the twin."""
        return self.run(self.town.until(lambda _: see(), timeout_s), timeout_s + 10)

    # People

    def slash(self, text: str, who: str = "ada", where: str = "#sites") -> Any:
        return self.run(self.town.slash(who, where, "/doce", text))

    def say(self, text: str, root: str = "", who: str = "ada", where: str = "#sites", **more: Any) -> Message:
        return self.run(self.town.say(who, where, text, thread=root, **more))

    def click(self, seen: Seen, name: str, who: str = "ada") -> Any:
        """Press a button by its action id or its words."""
        control = seen.control(name)

        async def press() -> Any:
            message = next(
                one for one in [*self.town.world.messages(seen.channel), *self.town.world.ephemerals]
                if one.ts == seen.ts and one.channel == seen.channel
            )  # fmt: skip
            return await self.town.click(who, message, control.action_id, control.value)

        return self.run(press())

    def link(self, who: str) -> None:
        """`who` is a member of doce of the same name."""
        if who == "ada":
            code = json.loads(self.home.command("identities", "link", "--json").stdout)["code"]
        else:
            made = self.home.doce.request("POST", "/api/users", body={"name": who})
            url = f"http://localhost:{self.home.port}"
            with httpx.Client(base_url=url, headers={"Origin": url}, trust_env=False) as browser:
                browser.post("/api/session", json={"name": who, "password": made["password"]}).raise_for_status()
                code = browser.post("/api/me/identities", json={}).raise_for_status().json()["code"]
        self.slash(f"link {code}", who)
        self.until(lambda: [one for one in self.town.ephemeral(who) if "here now" in one.shown])

    # Threads

    def new(self, prompt: str = "a bakery in Porto", where: str = "#sites", *, who: str = "ada", done: bool = True) -> str:
        """`/doce new …`: the root of its thread, after the first turn."""
        before = {one.ts for one in self.look(lambda: self.town.messages(where))}
        assert self.slash(f"new {prompt}", who, where).acked
        card = self.until(lambda: [one for one in self.town.messages(where) if one.ts not in before and one.author == "doce"], 30)[0]
        if done:
            self.ended(card.ts, 1, where)
        return card.ts

    def begin(self, text: str = "[[rehearse only: here]]") -> str:
        """A new thread on a site that is there: quicker than a new site. Its root, after its first turn."""
        if not self._site:
            self._site = self.home.doce.project(self.project(self.new("[[rehearse only: the first]]")))["slug"]
        count = len(self.home.doce.prompts(self._site, limit=200)["items"])
        before = {one.ts for one in self.look(lambda: self.town.messages("#sites"))}
        assert self.slash(f"chat {self._site} {text}").acked
        card = self.until(lambda: [one for one in self.town.messages("#sites") if one.ts not in before and one.author == "doce"], 30)[0]
        self._before[card.ts] = count
        self.ended(card.ts, 1)
        return card.ts

    def thread(self, root: str, where: str = "#sites") -> list[Seen]:
        return self.look(lambda: self.town.thread(where, root))

    def ended(self, root: str, count: int, where: str = "#sites", timeout_s: float = TURN_S) -> list[Seen]:
        """The messages of turns that have ended, once there are so many."""

        def see() -> list[Seen]:
            found = [one for one in self.town.thread(where, root)[1:] if is_turn(one)]
            return found if len(found) >= count else []

        return self.until(see, timeout_s)

    def busy(self, root: str, where: str = "#sites") -> Seen:
        """The message of the turn that goes on: a stream, or one that is edited when there were many a moment ago."""

        def goes_on(one: Seen) -> bool:
            return not is_turn(one) and (one.stream == "streaming" or any(found.action_id == "doce:stop" for found in one.controls))

        # The card at the root has such a button, too.
        return self.until(lambda: [one for one in self.town.thread(where, root)[1:] if goes_on(one)], 45)[0]

    def shows(self, root: str, words: str, where: str = "#sites", timeout_s: float = 30.0) -> Seen:
        """The first message of a thread that shows `words`."""
        return self.until(lambda: [one for one in self.town.thread(where, root) if words in one.shown], timeout_s)[0]

    def told(self, who: str, words: str, timeout_s: float = 10.0) -> Seen:
        """What only `who` sees, with `words` in it."""
        return self.until(lambda: [one for one in self.town.ephemeral(who) if words in one.shown], timeout_s)[-1]

    def project(self, root: str, where: str = "#sites") -> str:
        """The id of the project of a thread."""
        card = next(one for one in self.thread(root, where) if one.text.startswith("doce · "))
        return str(self.home.doce.project(card.text.removeprefix("doce · ").partition(" ")[0])["id"])

    def prompts(self, root: str, where: str = "#sites") -> list[dict[str, Any]]:
        """Of a thread, oldest first."""
        found = self.home.doce.prompts(self.project(root, where), limit=200)["items"]
        return list(reversed(found))[self._before.get(root, 0) :]

    def events(self, project: str) -> list[Event]:
        """Everything of a project's log."""
        return list(self.home.doce.events(project, follow=False))

    def check_text(self, root: str, where: str = "#sites") -> None:
        """Each turn of a thread says in Slack what the log says, once."""
        project = self.project(root, where)
        events, messages = self.events(project), [one for one in self.thread(root, where)[1:] if said(one)]
        shown = "".join(said(one) for one in messages).replace("\n\n_continued below_", "")
        told = "".join(logged(events, prompt["id"]) for prompt in self.prompts(root, where))
        assert squeezed(shown) == squeezed(told)

    def restart(self, **settings: str) -> None:
        """kill -9, and a new one."""
        self.home.kill()
        self.home.start(**settings)
        self.ready()

    def ready(self) -> None:
        if self.town.app.socket:
            self.run(self.town.connected())

    def log(self) -> str:
        return (self.home.folder / "serve.log").read_text()


def is_turn(seen: Seen) -> bool:
    """The message of a turn that has ended."""
    return any(control.action_id == "doce:details" for control in seen.controls) and any(mark in seen.shown for mark in OVER)


@contextlib.contextmanager
def town(rate: float) -> Iterator[tuple[Slack, asyncio.AbstractEventLoop]]:
    """A twin in a loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="slack-twin", daemon=True)
    thread.start()
    slack = Slack(rate=rate)
    # As the manifest has it: people and channels come as ids.
    slack.app.commands = {"/doce": True}
    asyncio.run_coroutine_threadsafe(slack.__aenter__(), loop).result(10)
    try:
        yield slack, loop
    finally:
        asyncio.run_coroutine_threadsafe(slack.__aexit__(None, None, None), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


@contextlib.contextmanager
def office(
    folder: Path, cache: Path, *, http: bool = False, rate: float = FREE, linked: tuple[str, ...] = ("ada", "ben"), **settings: str
) -> Iterator[Office]:
    """Both, over Socket Mode or HTTP."""
    with town(rate) as (slack, loop):
        door = {"DOCE_SLACK_SIGNING_SECRET": slack.app.signing_secret} if http else {"DOCE_SLACK_APP_TOKEN": slack.app.app_token}
        given: dict[str, Any] = {"DOCE_SLACK_BOT_TOKEN": slack.token, "DOCE_SLACK_API_URL": slack.api_url, **door, **settings}
        with house(folder, cache, **given) as home:
            made = Office(home, slack, loop)
            if http:
                made.run(slack.use_http(f"http://127.0.0.1:{home.port}/slack/events"))
            made.ready()
            for who in linked:
                made.link(who)
            yield made


def said(*seen: Seen) -> str:
    """The Markdown that messages show, one after the other."""
    return "".join(str(block["text"]) for one in seen for block in one.blocks if block["type"] == "markdown")


def logged(events: list[Event], prompt_id: str) -> str:
    """What the agent said in a turn, as the log has it, rendered as Slack is to show it."""
    turn = Turn(prompt_id)
    for event in events:
        turn.take(event)
    return turns.text(turn)


class Backwards(random.Random):
    """A shuffle that turns the order around."""

    def shuffle(self, x: Any) -> None:
        x.reverse()


def squeezed(text: str) -> str:
    """Without white space: where one part of a message ends and the next begins there may be more or less of it."""
    return "".join(text.split())
