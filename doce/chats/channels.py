"""What holds in a channel of a chat: which project is meant, who may act, whether doce has to be mentioned."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from doce.clock import Clock
from doce.db.connection import database
from doce.db.models import ChatChannel


@dataclass(frozen=True, slots=True)
class ChannelRules:
    """`allowed`: chat users who may act here; empty: all who are linked. `mention`: only what mentions doce is for it."""

    kind: str
    team: str
    channel: str
    project_id: str | None = None
    mention: bool = False
    allowed: tuple[str, ...] = ()

    def allows(self, external_user: str) -> bool:
        return not self.allowed or external_user in self.allowed


class Channels:
    """Looks and changes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def rules(self, kind: str, team: str, channel: str) -> ChannelRules:
        row = ChatChannel.get_or_none(ChatChannel.kind == kind, ChatChannel.team == team, ChatChannel.channel == channel)
        return _rules(row) if row else ChannelRules(kind, team, channel)

    def list(self) -> list[ChannelRules]:
        """Channels with rules of their own."""
        return [_rules(row) for row in ChatChannel.select().order_by(ChatChannel.team, ChatChannel.channel)]

    def change(self, kind: str, team: str, channel: str, **changes: Any) -> ChannelRules:
        """`project_id`, `mention`, `allowed`: what is given."""
        with database.atomic():
            made = replace(self.rules(kind, team, channel), **changes)
            values = {"project_id": made.project_id, "mention": made.mention, "allowed": json.dumps(sorted(made.allowed))}
            row = ChatChannel.insert(kind=kind, team=team, channel=channel, updated_at=self._clock.now_ms(), **values)
            row.on_conflict("REPLACE").execute()
        return made


def _rules(row: Any) -> ChannelRules:
    return ChannelRules(row.kind, row.team, row.channel, row.project_id, row.mention, tuple(json.loads(row.allowed)))
