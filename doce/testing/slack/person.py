"""A person in this Slack: where they are, and how what they do reaches the app."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from doce.testing.slack import shapes
from doce.testing.slack.courier import Delivery
from doce.testing.slack.refusal import Impossible
from doce.testing.slack.responses import Responses
from doce.testing.slack.sight import Seen
from doce.testing.slack.things import Channel, Message, User

if TYPE_CHECKING:
    from doce.testing.slack.twin import Slack

Raw = dict[str, Any]


@dataclass
class Trigger:
    """What opens a view: once, and for three seconds."""

    team: str
    user: str
    at: float
    view: str = ""
    used: bool = False


class Person:
    """Whoever acts. `who` and `where` are ids, names or the things themselves."""

    def __init__(self, slack: Slack) -> None:
        self.slack = slack
        self.responses = Responses(slack)

    def _message(self, given: Message | Seen) -> Message:
        """A message itself, also for how it was seen. Raises Impossible when it is gone."""
        return given if isinstance(given, Message) else self.slack.world.message(given.channel, given.ts)

    def _there(self, who: User | str, where: Channel | str) -> tuple[User, Channel]:
        """Both, when the person can write there; a bot's name is its direct conversation. Raises Impossible."""
        user = self.slack.world.user(who)
        if isinstance(where, str) and where.startswith("@") and self.slack.world.user(where).is_bot:
            return user, self.slack.world.direct(user)
        channel = self.slack.world.channel(where)
        if user.id not in channel.members:
            raise Impossible(f"{user.name} is not in {channel.name or channel.id}")
        return user, channel

    async def invite(self, who: User | str, where: Channel | str, guest: User | str | None = None) -> None:
        """Bring somebody into a channel, by default the app's bot."""
        user, channel = self._there(who, where)
        joining = self.slack.world.user(guest or self.slack.world.workspaces[user.team].bot_user)
        if joining.id not in channel.members:
            self.slack.joined(channel, joining.id, inviter=user.id)

    async def kick(self, who: User | str, where: Channel | str, guest: User | str | None = None) -> None:
        """Remove somebody from a channel, by default the app's bot."""
        user, channel = self._there(who, where)
        leaving = self.slack.world.user(guest or self.slack.world.workspaces[user.team].bot_user)
        if leaving.id not in channel.members:
            raise Impossible(f"{leaving.name} is not there")
        self.slack.left(channel, leaving.id, remover=user.id)

    # Pieces

    def trigger(self, user: User, view: str = "") -> str:
        """An id that opens one view."""
        made = f"{self.slack.world.new_id('')}.{secrets.token_hex(12)}"
        self.slack.triggers[made] = Trigger(user.team, user.id, self.slack.clock.now(), view)
        return made

    def _interaction(self, kind: str, user: User) -> Raw:
        return {
            "type": kind, "team": shapes.team(self.slack.world.workspaces[user.team]), "user": shapes.actor(user),
            "api_app_id": self.slack.app.id,
            "token": self.slack.app.verification_token, "enterprise": None, "is_enterprise_install": False,
        }  # fmt: skip

    async def _arrive(self, delivery: Delivery) -> Delivery:
        self.slack.courier.send(delivery)
        while not delivery.over:
            await self.slack.world.change()
        return delivery
