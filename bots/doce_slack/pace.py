"""Slack's limits, kept before they are met: every call waits for its turn.

Each method has so many calls a minute in a workspace, and a channel takes one post a second. A bucket holds a few of a minute's
calls and refills with the rest over the minute, so that no stretch of 60 s, wherever it begins, has more than Slack allows, less
one: calls take more or less long to get there. The fewer it holds, the more there are for everybody while many are busy. A bucket
begins with one call in it when doce begins: nobody knows what a doce that was killed a moment ago has called.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

#: Calls a minute by tier, reference/slack.md section 6.
TIERS = {1: 1, 2: 20, 3: 50, 4: 100}
#: Tiers of what doce calls; what is not listed is of tier 3.
METHODS = {
    "chat.startStream": 2, "chat.stopStream": 2, "reactions.remove": 2, "chat.appendStream": 4, "chat.postEphemeral": 4,
    "users.info": 4, "views.open": 4, "views.push": 4, "views.update": 4, "views.publish": 4, "chat.getPermalink": 4,
    "files.getUploadURLExternal": 4, "files.completeUploadExternal": 4, "auth.test": 4, "conversations.open": 3,
    "conversations.join": 3, "users.conversations": 3,
}  # fmt: skip
POST = "chat.postMessage"
#: Posts a second in a channel.
POSTS_S = 1.0
#: Part of a minute's calls that may come at once; of few calls a larger part, up to so many.
BURST, FEW, LEAST = 0.1, 0.2, 4.0
ROUNDING = 1e-9

Monotonic = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]


@dataclass(eq=False)
class Bucket:
    """Turns of one kind: `capacity` at once, `rate` a second from then on."""

    capacity: float
    rate: float
    left: float
    seen: float
    #: Slack said not before.
    closed_until: float = 0.0
    waiting: list[tuple[bool, int, asyncio.Future[None]]] = field(default_factory=list)
    pump: asyncio.Task[None] | None = None

    def delay(self, now: float) -> float:
        """Seconds until the next turn; 0: now."""
        self.left = min(self.capacity, self.left + (now - self.seen) * self.rate)
        self.seen = now
        # What is missing by rounding only would be waited for without end.
        missing = 1 - self.left if self.left < 1 - ROUNDING else 0.0
        return max(missing / self.rate, self.closed_until - now)


class Pace:
    """Gives turns, urgent ones first, else in the order they were asked for."""

    def __init__(self, *, monotonic: Monotonic = time.monotonic, sleep: Sleep = asyncio.sleep, factor: float = 1.0) -> None:
        """`factor`: so many times the calls that Slack allows, for tests about other things."""
        self._monotonic, self._sleep, self._factor = monotonic, sleep, factor
        self._buckets: dict[tuple[str, ...], Bucket] = {}
        self._numbers = itertools.count()
        self._began = monotonic()

    async def turn(self, team: str, method: str, channel: str | None = None, *, urgent: bool = False) -> None:
        """Returns when `method` may be called."""
        await self.ask(team, method, channel, urgent=urgent)

    def ask(self, team: str, method: str, channel: str | None = None, *, urgent: bool = False) -> asyncio.Future[None]:
        """Done when `method` may be called; whoever does not want to wait any more cancels it."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if method == POST and not channel:
            turn.set_result(None)
            return turn
        bucket = self._bucket(_key(team, method, channel))
        if not bucket.waiting and bucket.delay(self._monotonic()) <= 0:
            bucket.left -= 1
            turn.set_result(None)
        else:
            self._line_up(bucket, turn, urgent)
        return turn

    def hurry(self, team: str, method: str, channel: str | None, turn: asyncio.Future[None]) -> None:
        """What was asked for as any other has become urgent."""
        if not turn.done():
            self._line_up(self._bucket(_key(team, method, channel)), turn, True)

    def soon(self, team: str, method: str, channel: str | None = None) -> float:
        """Seconds that a new call of `method` would wait."""
        bucket = self._bucket(_key(team, method, channel))
        return bucket.delay(self._monotonic()) + len(bucket.waiting) / bucket.rate

    def refused(self, team: str, method: str, channel: str | None, retry_after_s: float) -> None:
        """Slack did refuse: nothing of this kind before `retry_after_s` are over."""
        bucket = self._bucket(_key(team, method, channel))
        bucket.closed_until = max(bucket.closed_until, self._monotonic() + retry_after_s)
        bucket.left = min(bucket.left, 0.0)

    def _bucket(self, key: tuple[str, ...]) -> Bucket:
        if key not in self._buckets:
            if len(key) == 3:
                capacity, rate = 1.0, POSTS_S * self._factor
            else:
                minute = TIERS[METHODS.get(key[1], 3)] * self._factor
                capacity = max(1.0, min(LEAST, minute * FEW), minute * BURST)
                rate = max(minute - capacity - 1, 0.5) / 60
            self._buckets[key] = Bucket(capacity, rate, 1.0, self._began)
        return self._buckets[key]

    def _line_up(self, bucket: Bucket, turn: asyncio.Future[None], urgent: bool) -> None:
        heapq.heappush(bucket.waiting, (not urgent, next(self._numbers), turn))
        if bucket.pump is None or bucket.pump.done():
            bucket.pump = asyncio.create_task(self._give(bucket), name="slack-pace")

    async def _give(self, bucket: Bucket) -> None:
        while bucket.waiting:
            if (delay := bucket.delay(self._monotonic())) > 0:
                await self._sleep(delay)
                continue
            _, _, turn = heapq.heappop(bucket.waiting)
            if not turn.done():
                bucket.left -= 1
                turn.set_result(None)

    async def close(self) -> None:
        """Nobody gets a turn any more."""
        pumps = [bucket.pump for bucket in self._buckets.values() if bucket.pump]
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


def _key(team: str, method: str, channel: str | None) -> tuple[str, ...]:
    return (team, POST, channel) if method == POST and channel else (team, method)
