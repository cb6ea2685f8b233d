"""Who somebody of Slack is in doce, and whether they may act in a channel."""

from __future__ import annotations

import time
from collections import OrderedDict

from doce import addresses
from doce.actions.services import Services
from doce.auth.users import Person
from doce.chats.channels import ChannelRules
from doce.errors import Forbidden, Unauthorized
from doce_slack import heard
from doce_slack.workspaces import KIND, Do, Workspace

#: How long a name is believed, seconds, and how many are kept.
NAME_S, NAMES = 3600.0, 1000
#: What somebody did not ask for is told them once in so many seconds.
TOLD_S = 600.0


class NotLinked(Unauthorized):
    """I do not know yet who you are in doce."""


class People:
    """Looks people up."""

    def __init__(self, services: Services, do: Do) -> None:
        self._services, self._do = services, do
        self._names: OrderedDict[tuple[str, str], tuple[float, str]] = OrderedDict()
        self._told: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    async def who(self, team: str, user: str) -> Person | None:
        found: Person | None = await self._do(self._services.identities.who, KIND, team, user)
        return found

    async def acting(self, team: str, user: str, channel: str) -> tuple[Person, ChannelRules]:
        """Who acts, who may. Raises NotLinked; Forbidden where the channel has a list without them."""
        person = await self.who(team, user)
        if person is None:
            raise NotLinked(hint=self.how_to_link())
        rules: ChannelRules = await self._do(self._services.chats.channels.rules, KIND, team, channel)
        if not rules.allows(user) and not person.is_admin:
            raise Forbidden("Only people whom an admin has added may build in this channel.", hint="An admin can `/doce allow` you here.")
        return person, rules

    def how_to_link(self) -> str:
        url = addresses.doce_url(self._services.settings)
        return (
            f"Sign in at {url}/account, make a code under Chats (or type `doce identities link` where doce runs), "
            "then say here: /doce link CODE"
        )

    def told_before(self, team: str, user: str, about: str) -> bool:
        """Whether they have just been told something; now they have."""
        now = time.monotonic()
        before = self._told.get((team, user, about), float("-inf"))
        if now - before < TOLD_S:
            return True
        self._told[team, user, about] = now
        while len(self._told) > NAMES:
            self._told.popitem(last=False)
        return False

    async def names(self, workspace: Workspace, text: str) -> dict[str, str]:
        """Of everybody a text mentions, by their ids."""
        return {found[1]: await self.name(workspace, found[1]) for found in heard.USER.finditer(text)}

    async def name(self, workspace: Workspace, user: str) -> str:
        """What they are called there."""
        known = self._names.get((workspace.team, user))
        if known and time.monotonic() - known[0] < NAME_S:
            return known[1]
        answer = await workspace.attempt("users.info", fine=("user_not_found", "missing_scope"), user=user)
        profile = ((answer or {}).get("user") or {}).get("profile") or {}
        name = str(profile.get("display_name") or profile.get("real_name") or ((answer or {}).get("user") or {}).get("name") or user)
        self._names[workspace.team, user] = (time.monotonic(), name)
        while len(self._names) > NAMES:
            self._names.popitem(last=False)
        return name
