"""doce's HTTP door with its Slack door in it, and a twin of Slack beside: real database, real Bolt, one loop; no agent."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from doce.testing.slack import Slack
from doce_slack.door import SlackDoor
from doce_slack.pace import Pace
from tests.web.house import BEGINS_S, House, served

PUBLIC = "https://doce.example.com"
PASSWORD = "correct horse battery"


@dataclass
class Place:
    """`house` is doce, `slack` the twin, `door` between them."""

    house: House
    slack: Slack
    door: SlackDoor
    browsers: list[httpx.Client] = field(default_factory=list)

    def run(self, coroutine: Any) -> Any:
        return self.house.loop.run(coroutine)

    @property
    def events_url(self) -> str:
        return f"http://127.0.0.1:{self.house.port}/slack/events"

    def until(self, so: Callable[[Any], Any], seconds: float = 10) -> Any:
        """What `so` says of the twin's world once it is true."""
        return self.run(self.slack.until(so, seconds))

    def sign_in(self, name: str, role: str = "member") -> httpx.Client:
        """A browser of somebody new."""
        person, _ = self.house.person(name, role)
        self.house.services.users.set_password(person.id, PASSWORD)
        browser = self.browser()
        answer = browser.post("/api/session", json={"name": name, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        return browser

    def browser(self) -> httpx.Client:
        own = {"host": f"localhost:{self.house.port}", "accept": "text/html"}
        made = httpx.Client(base_url=f"http://127.0.0.1:{self.house.port}", headers=own, timeout=20, trust_env=False)
        self.browsers.append(made)
        return made

    def link(self, who: str, name: str) -> None:
        """Somebody of Slack is the user `name`."""
        user, person = self.slack.user(who), self.house.services.users.find(name)
        code, _ = self.house.services.identities.link_code(person.id)
        self.house.services.identities.redeem(code, "slack", user.team, user.id, who)


@contextlib.contextmanager
def placed(folder: Path, *, socket: bool = False, installs: bool = False, token: bool = True, **settings: Any) -> Iterator[Place]:
    """doce over HTTP, over Socket Mode as well with `socket`; `installs`: with client id and secret."""
    slack = Slack(rate=float("inf"))
    given: dict[str, Any] = {"slack_signing_secret": slack.app.signing_secret, "public_url": PUBLIC}
    if token:
        given["slack_bot_token"] = slack.token
    if socket:
        given["slack_app_token"] = slack.app.app_token
    if installs:
        given |= {"slack_client_id": slack.app.client_id, "slack_client_secret": slack.app.client_secret}
    given |= settings
    # Where the twin listens is known when it does; it has a loop when the house has.
    elsewhere = given.setdefault("slack_api_url", "http://127.0.0.1:1/api/") != "http://127.0.0.1:1/api/"
    with served(folder, **{name: value for name, value in given.items() if value is not None}) as house:
        house.loop.run(slack.__aenter__(), BEGINS_S)
        if not elsewhere:
            house.settings.__dict__["slack_api_url"] = slack.api_url
        app: Any = house.listener.config.app
        door = SlackDoor(house.services, app.state.office.do, app.state.pages.page, pace=Pace(factor=float(10**6)))
        # The house's clock stands still, and this one runs: nothing is held back for long for what may have been written before it.
        door.intake._now_ms = itertools.count(2**42, 60_000).__next__
        app.router.routes[:0] = door.routes()
        house.loop.run(door.start(), BEGINS_S)
        place = Place(house, slack, door)
        try:
            yield place
        finally:
            for browser in place.browsers:
                browser.close()
            house.loop.run(door.stop(), BEGINS_S)
            house.loop.run(slack.__aexit__(None, None, None), BEGINS_S)
