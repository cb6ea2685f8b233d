"""Everything that doce keeps of chats, in one hand."""

from __future__ import annotations

from dataclasses import dataclass

from doce.auth.secrets import SecretKey
from doce.chats.channels import Channels
from doce.chats.claims import Claims
from doce.chats.installations import Installations
from doce.chats.messages import Messages
from doce.chats.states import States
from doce.chats.threads import Threads
from doce.clock import Clock
from doce.db.connection import database


@dataclass(frozen=True)
class Chats:
    claims: Claims
    threads: Threads
    messages: Messages
    channels: Channels
    installations: Installations
    states: States

    @classmethod
    def of(cls, key: SecretKey, clock: Clock) -> Chats:
        threads = Threads(clock)
        return cls(Claims(clock), threads, Messages(clock, threads), Channels(clock), Installations(key, clock), States(key, clock))

    def leave(self, kind: str, team: str) -> bool:
        """doce is no longer in a workspace: its token and what was told in its threads end there. False when it was not known."""
        with database.atomic():
            self.threads.close_team(kind, team)
            return self.installations.remove(kind, team)
