"""Brings events, commands and clicks to the app, again where Slack would, and badly where a test asks for it."""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from doce.testing.slack.twin import Slack

Raw = dict[str, Any]
logger = logging.getLogger(__name__)


class Undelivered(Exception):
    """An attempt that was not acknowledged; says why. `final`: the app asked not to be tried again."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.final = reason, final


@dataclass(frozen=True)
class Attempt:
    """One try. `outcome`: ok, timeout, connection_closed, no_connection, http_error:503 …; `seconds` until that."""

    number: int
    at: float
    seconds: float
    outcome: str


@dataclass(eq=False)
class Delivery:
    """Something that the app is told. `kind`: events_api, slash_commands or interactive; `answer`: what its acknowledgement
    carried; `error`: what a person sees when there was none (operation_timeout, dispatch_failed)."""

    kind: str
    payload: Raw
    team: str
    attempts: list[Attempt] = field(default_factory=list)
    acked: bool = False
    given_up: bool = False
    answer: Any = None
    error: str = ""

    @property
    def event(self) -> Raw:
        """The event inside, or the interaction."""
        found: Raw = self.payload.get("event", self.payload)
        return found

    @property
    def over(self) -> bool:
        return self.acked or self.given_up

    @property
    def seconds(self) -> float:
        """How long the acknowledged attempt took."""
        return self.attempts[-1].seconds if self.attempts else 0.0


class Transport(Protocol):
    """A way to the app."""

    async def ready(self) -> None:
        """Until there is somebody to bring something to."""
        ...

    async def carry(self, delivery: Delivery, attempt: int, reason: str) -> Any:
        """What the acknowledgement carried. Raises Undelivered."""
        ...


@dataclass
class Weather:
    """What goes wrong on the way to the app. Shares are between 0 and 1; `shuffle`: so many are held and let go in any order."""

    duplicates: float = 0.0
    delay: tuple[float, float] = (0.0, 0.0)
    shuffle: int = 0
    lost_acks: float = 0.0
    rng: random.Random = field(default_factory=lambda: random.Random(0))


class Courier:
    """Every delivery is a task of its own; `sent` keeps them all."""

    def __init__(self, slack: Slack) -> None:
        self.slack = slack
        self.weather = Weather()
        self.sent: list[Delivery] = []
        self._held: list[Delivery] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def under_way(self) -> int:
        """How many deliveries are neither acknowledged nor given up."""
        return len(self._tasks)

    def send(self, delivery: Delivery) -> Delivery:
        """Bring it, now or when the weather lets it."""
        self.sent.append(delivery)
        if self.weather.shuffle and delivery.kind == "events_api":
            self._held.append(delivery)
            if len(self._held) >= self.weather.shuffle:
                self.let_go()
        else:
            self._begin(delivery)
            if delivery.kind == "events_api" and self.weather.rng.random() < self.weather.duplicates:
                self._begin(delivery, retry=True)
        return delivery

    def let_go(self) -> None:
        """Bring what is held back, in any order."""
        held, self._held = self._held, []
        self.weather.rng.shuffle(held)
        for delivery in held:
            self._begin(delivery)
            if self.weather.rng.random() < self.weather.duplicates:
                self._begin(delivery, retry=True)

    def again(self, delivery: Delivery) -> None:
        """Bring something once more although it was acknowledged."""
        self._begin(delivery, retry=True)

    def _begin(self, delivery: Delivery, *, retry: bool = False) -> None:
        task = asyncio.get_running_loop().create_task(self._bring(delivery, 1 if retry else 0))
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._ended(delivery, task))

    def _ended(self, delivery: Delivery, task: asyncio.Task[None]) -> None:
        """Whatever happened to a delivery, nobody waits for it for ever."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.error("a delivery broke the twin", exc_info=error)
            delivery.given_up, delivery.error = True, repr(error)
            self.slack.world.changed()

    async def _bring(self, delivery: Delivery, number: int) -> None:
        low, high = self.weather.delay
        if high:
            await asyncio.sleep(self.weather.rng.uniform(low, high))
        if delivery.kind != "events_api":
            await self._once(delivery)
            return
        reason = "http_timeout" if number else ""
        for wait in (0.0, *self.slack.retry_delays):
            if wait:
                await self.slack.clock.sleep(wait)
            await self.slack.transport.ready()
            try:
                await self._attempt(delivery, number, reason)
                return
            except Undelivered as why:
                reason = why.reason
                if why.final:
                    break
            number += 1
        delivery.given_up = not delivery.acked
        self.slack.world.changed()

    async def _once(self, delivery: Delivery) -> None:
        """Commands and clicks are tried once; the person sees what became of it."""
        try:
            await self._attempt(delivery, 0, "")
        except Undelivered as why:
            delivery.error = "operation_timeout" if why.reason == "http_timeout" else "dispatch_failed"
            delivery.given_up = True
            self.slack.world.changed()

    async def _attempt(self, delivery: Delivery, number: int, reason: str) -> None:
        loop = asyncio.get_running_loop()
        at, began = self.slack.clock.now(), loop.time()
        outcome = "cancelled"
        try:
            delivery.answer = await self.slack.transport.carry(delivery, number, reason)
            if delivery.kind == "events_api" and self.weather.rng.random() < self.weather.lost_acks:
                raise Undelivered("http_timeout")
            delivery.acked, outcome = True, "ok"
        except Undelivered as why:
            outcome = why.reason
            raise
        finally:
            delivery.attempts.append(Attempt(number, at, loop.time() - began, outcome))
            self.slack.world.changed()

    async def settled(self) -> None:
        """Until nothing is on its way."""
        self.let_go()
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
