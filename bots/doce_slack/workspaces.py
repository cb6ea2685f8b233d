"""Workspaces that doce is in: the one of DOCE_SLACK_BOT_TOKEN, and those that installed it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from pydantic import SecretStr
from slack_sdk.web.async_client import AsyncWebClient

from doce.chats.installations import Installations
from doce_slack.calls import TIMEOUT_S, Calls, Lost, Refused

logger = logging.getLogger(__name__)

KIND = "slack"
Do = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, eq=False)
class Workspace:
    """doce in one workspace. `call("chat.update", channel=…)` asks Slack, see `Calls`."""

    team: str
    name: str
    bot_user: str
    bot_id: str
    client: AsyncWebClient
    calls: Calls

    @property
    def session(self) -> aiohttp.ClientSession:
        """For what is no method of the API: files."""
        assert self.client.session
        return self.client.session

    async def call(self, method: str, *, urgent: bool = False, paced: bool = False, **arguments: Any) -> dict[str, Any]:
        """Raises Refused, Lost."""
        return await self.calls(self.client, self.team, method, urgent=urgent, paced=paced, **arguments)

    async def attempt(self, method: str, *, fine: tuple[str, ...] = (), **arguments: Any) -> dict[str, Any] | None:
        """The same for what is beside the point, a reaction say: a refusal is logged, those in `fine` are not worth that."""
        try:
            return await self.call(method, **arguments)
        except Refused as error:
            if error.code not in fine:
                logger.warning("Slack refused %s: %s", method, error.code, extra={"team": self.team, "channel": arguments.get("channel")})
        except Lost as error:
            logger.warning("%s", error.message, extra={"team": self.team})
        return None


class Workspaces:
    """Finds the workspace of a team. Use between `open` and `close`, in one loop."""

    def __init__(self, installations: Installations, calls: Calls, *, api_url: str, token: SecretStr | None, do: Do) -> None:
        self._installations = installations
        self._calls = calls
        self._api_url = api_url.rstrip("/") + "/"
        self._token = token
        self._do = do
        self._known: dict[str, Workspace] = {}
        self._session: aiohttp.ClientSession | None = None
        self._looking = asyncio.Lock()
        self._home: Workspace | None = None
        self._seen = installations.version

    async def open(self) -> None:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))

    async def close(self) -> None:
        if self._session:
            await self._session.close()

    def client(self, token: SecretStr | None) -> AsyncWebClient:
        """A client of Slack's API that tries nothing twice by itself."""
        return AsyncWebClient(
            token=token.get_secret_value() if token else None, base_url=self._api_url, session=self._session, timeout=TIMEOUT_S,
            retry_handlers=[],
        )  # fmt: skip

    async def home(self) -> Workspace | None:
        """The workspace of the configured token; None without one. Raises Refused, Lost."""
        if self._token is None:
            return None
        async with self._looking:
            if self._home is None:
                client = self.client(self._token)
                who = await self._calls(client, "home", "auth.test")
                self._home = Workspace(who["team_id"], who.get("team", ""), who["user_id"], who.get("bot_id", ""), client, self._calls)
                self._known.setdefault(self._home.team, self._home)
            return self._home

    async def of(self, team: str) -> Workspace | None:
        """None where doce is not installed (any more). Raises Refused, Lost while nobody knows whose the configured token is."""
        if self._seen != self._installations.version:
            await self._renew()
        if team in self._known:
            return self._known[team]
        found = await self._do(self._installations.of, KIND, team)
        if found is not None:
            made = Workspace(team, found.name, found.bot_user, found.bot_id, self.client(found.token), self._calls)
            return self._known.setdefault(team, made)
        home = await self.home()
        return home if home and home.team == team else None

    async def _renew(self) -> None:
        """Something was installed, again or first, or removed. Whoever holds a workspace goes on with its new token."""
        self._seen = self._installations.version
        for team, known in list(self._known.items()):
            found = await self._do(self._installations.of, KIND, team)
            if found is not None:
                known.client.token = found.token.get_secret_value()
            elif known is not self._home:
                self._known.pop(team, None)

    def forget(self, team: str) -> None:
        """It was removed."""
        self._known.pop(team, None)
        if self._home and self._home.team == team:
            self._home = None
