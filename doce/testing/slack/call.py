"""One call of the Web API as it came in, and what the method that answers it can ask of it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from doce.testing.slack.app import Token
from doce.testing.slack.refusal import Impossible, Refused
from doce.testing.slack.things import Channel, Message, User, Workspace

if TYPE_CHECKING:
    from doce.testing.slack.twin import Slack

Raw = dict[str, Any]
Answer = Raw | Awaitable[Raw]


@dataclass(frozen=True)
class Called:
    """A call that was made: for tests to look at. Tokens are not kept. `at` is the twin's time."""

    method: str
    arguments: Mapping[str, Any]
    team: str
    at: float
    error: str = ""
    status: int = 200
    answer: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.error


@dataclass(frozen=True)
class Call:
    """Arguments are strings, as from a form or a query, or JSON values."""

    slack: Slack
    method: str
    arguments: Mapping[str, Any]
    token: Token

    @property
    def workspace(self) -> Workspace:
        """Whose token it is."""
        return self.slack.world.workspaces[self.token.team]

    def text(self, name: str, default: str = "") -> str:
        value = self.arguments.get(name)
        return default if value is None else str(value)

    def required(self, name: str, code: str = "invalid_arguments") -> str:
        """Raises Refused with `code` when it is missing."""
        if value := self.text(name):
            return value
        raise Refused(code, messages=[f"missing required field: {name}"] if code == "invalid_arguments" else None)

    def flag(self, name: str) -> bool:
        return str(self.arguments.get(name, "")).lower() in ("1", "true")

    def number(self, name: str, default: int, *, most: int = 1000) -> int:
        try:
            return max(1, min(most, int(self.text(name) or default)))
        except ValueError:
            raise Refused("invalid_arguments", messages=[f"{name} must be a number"]) from None

    def structure(self, name: str, code: str = "invalid_arguments") -> Any:
        """A JSON value, whether it came as one or as a string. Raises Refused with `code`."""
        value = self.arguments.get(name)
        if not isinstance(value, str):
            return value
        if not value:
            return None
        try:
            return json.loads(value)
        except ValueError:
            raise Refused(code) from None

    # What arguments name

    def channel(self, name: str = "channel", *, member: bool = True) -> Channel:
        """A channel that the bot can see; `member`: it must be in it.

        Raises Refused with `channel_not_found`, `not_in_channel` or `is_archived`.
        """
        given = self.required(name, "channel_not_found" if name == "channel" else "invalid_arguments")
        bot = self.workspace.bot_user
        found = self.slack.world.channels.get(given)
        if found is None and given.startswith("#"):
            found = next(
                (each for each in self.slack.world.channels.values() if each.name == given[1:] and each.team == self.token.team), None
            )
        if found is None or found.team != self.token.team or (found.kind != "channel" and bot not in found.members):
            raise Refused("channel_not_found")
        if member and bot not in found.members:
            raise Refused("not_in_channel")
        return found

    def user(self, name: str = "user") -> User:
        """A person of the workspace. Raises Refused with `user_not_found`."""
        found = self.slack.world.users.get(self.text(name))
        if found is None or found.team != self.token.team:
            raise Refused("user_not_found")
        return found

    def message(self, channel: Channel, name: str = "ts") -> Message:
        """A message that everybody sees. Raises Refused with `message_not_found`."""
        try:
            found = self.slack.world.message(channel, self.text(name))
        except Impossible:
            raise Refused("message_not_found") from None
        if found.only_for:
            raise Refused("message_not_found")
        return found


@dataclass(frozen=True)
class Method:
    """`scopes`: one of them is enough. `tier` of its rate; `level` of token: bot, app or none. `json`: whether it reads arguments
    from a JSON body; where it does not, Slack acts as if there were none."""

    name: str
    answer: Callable[[Call], Answer]
    scopes: tuple[str, ...] = ()
    tier: int | None = None
    level: str = "bot"
    json: bool = True


METHODS: dict[str, Method] = {}


def method(
    name: str, *, scopes: str = "", tier: int | None = None, level: str = "bot", json: bool = True
) -> Callable[[Callable[[Call], Answer]], Callable[[Call], Answer]]:
    """Declare a method of the Web API."""

    def declare(answer: Callable[[Call], Answer]) -> Callable[[Call], Answer]:
        METHODS[name] = Method(name, answer, tuple(scopes.split()), tier, level, json)
        return answer

    return declare
