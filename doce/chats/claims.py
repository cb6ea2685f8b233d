"""What was said or clicked in a chat, taken once: the claim and what was said are one row, written before the chat is told
that it arrived; what follows from it is done in the transaction that settles the claim.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from doce.clock import Clock
from doce.db.connection import database
from doce.db.models import ChatClaim

#: How long a settled claim is remembered, ms: chats deliver again for minutes, scripts of theirs for hours.
KEPT_MS = 7 * 86_400_000
#: Most times a claim is tried before it is given up.
ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Claim:
    """Something to work off. `key` names it within its channel; claims of one `lane` are done in the order of `place`."""

    id: int
    kind: str
    team: str
    channel: str
    key: str
    lane: str
    place: str
    payload: dict[str, Any]
    attempts: int
    #: epoch ms
    at: int


class Claims:
    """Takes, lists and settles."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def take(
        self, kind: str, team: str, channel: str, key: str, *, lane: str, place: str, payload: dict[str, Any], fuller: bool = False
    ) -> bool:
        """Keep what arrived. False when it had arrived before; then a `fuller` payload replaces one that still waits."""
        kept = json.dumps(payload)
        sql = """
            INSERT INTO chat_claims (kind, team, channel, key, lane, place, payload, state, attempts, at)
            VALUES (?, ?, ?, ?, ?, ?, ?, 'waiting', 0, ?) ON CONFLICT DO NOTHING
        """
        values = (kind, team, channel, key, lane, place, kept, self._clock.now_ms())
        with database.atomic():
            new = bool(database.execute_sql(sql, values).rowcount)
            if fuller and not new:
                same = (ChatClaim.kind == kind) & (ChatClaim.team == team) & (ChatClaim.channel == channel) & (ChatClaim.key == key)
                ChatClaim.update(payload=kept).where(same, ChatClaim.state == "waiting").execute()
        return new

    def lanes(self) -> list[str]:
        """Lanes in which something waits."""
        waiting = ChatClaim.select(ChatClaim.lane).where(ChatClaim.state == "waiting").distinct()
        return [row.lane for row in waiting.order_by(ChatClaim.lane)]

    def next(self, lane: str) -> Claim | None:
        """What is to be worked off next in a lane."""
        waiting = ChatClaim.select().where(ChatClaim.lane == lane, ChatClaim.state == "waiting")
        row = waiting.order_by(ChatClaim.place, ChatClaim.id).first()
        return _claim(row) if row else None

    def try_(self, claim: Claim) -> bool:
        """Count one more try. False when it has been tried too often: it is given up."""
        with database.atomic():
            ChatClaim.update(attempts=ChatClaim.attempts + 1).where(ChatClaim.id == claim.id).execute()
        return claim.attempts < ATTEMPTS

    def untried(self, claim: Claim) -> None:
        """The last try does not count."""
        with database.atomic():
            ChatClaim.update(attempts=claim.attempts).where(ChatClaim.id == claim.id).execute()

    @contextmanager
    def settling(self, claim: Claim, outcome: str = "done") -> Iterator[bool]:
        """One transaction around what follows from a claim and its end. Gives False when it was settled already: do nothing."""
        with database.atomic():
            yield self._settle(claim.id, "done", outcome)

    @contextmanager
    def going_on(self, claim: Claim) -> Iterator[bool]:
        """One transaction around a first step of what follows from a claim, which is not its end. Gives False when it is settled."""
        with database.atomic():
            yield ChatClaim.select().where(ChatClaim.id == claim.id, ChatClaim.state == "waiting").exists()

    def give_up(self, claim: Claim, reason: str) -> None:
        """It cannot be done; said once, never tried again."""
        with database.atomic():
            self._settle(claim.id, "failed", reason)

    def _settle(self, claim_id: int, state: str, outcome: str) -> bool:
        done = ChatClaim.update(state=state, outcome=outcome[:500], payload="{}", done_at=self._clock.now_ms())
        return bool(done.where(ChatClaim.id == claim_id, ChatClaim.state == "waiting").execute())

    def sweep(self) -> int:
        """Forget what was settled long ago. Returns how many."""
        with database.atomic():
            return int(ChatClaim.delete().where(ChatClaim.done_at < self._clock.now_ms() - KEPT_MS).execute())


def _claim(row: Any) -> Claim:
    return Claim(
        row.id, row.kind, row.team, row.channel, row.key, row.lane, row.place, json.loads(row.payload), row.attempts, row.at
    )  # fmt: skip
