"""Everything that arrives from Slack is claimed before Slack hears that it arrived, and worked off from there.

The claim is a row with what was delivered: a redelivery, a second event for the same message or a restart finds it. Lanes (threads)
are worked off side by side, what is in one of them in Slack's order.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from slack_bolt import BoltResponse

from doce.chats.claims import Claim, Claims
from doce.logger import log_context
from doce.testing import faults
from doce_slack.calls import Lost
from doce_slack.heard import arrived
from doce_slack.workspaces import KIND, Do

logger = logging.getLogger(__name__)

#: A message waits so long for one that was written before it and delivered after it, ms.
HOLD_MS = 150
#: And what waited when doce began for what Slack could not deliver meanwhile, from then on, ms.
CATCH_UP_MS = 1500
#: Most lanes worked off at the same time.
LANES = 16
#: `_look`: what is next is to be tried again.
AGAIN = -1.0
#: Rest after something that could not be worked off, seconds; twice as long each time.
REST_S, MAX_REST_S = 0.5, 30.0
#: How long something waits for what it is an answer to, ms.
PATIENCE_MS = 60_000

Handle = Callable[[Claim], Awaitable[None]]
#: Fields of a form that are wrong, with why, or nothing; asked before a form is claimed.
Check = Callable[[dict[str, Any]], Awaitable[dict[str, str]]]


class NotYet(Exception):
    """What this is an answer to is being written down: it is looked at again in a moment."""


class Intake:
    """`claim` is Bolt's middleware; `run` works off."""

    def __init__(
        self, claims: Claims, do: Do, handle: Handle, check: Check, *, gave_up: Handle | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:  # fmt: skip
        """`handle` does what a claim asks and settles it; `gave_up` tells whoever asked that it could not be done."""
        self._claims, self._do, self._handle, self._check, self._gave_up, self._now_ms = claims, do, handle, check, gave_up, now_ms
        self._lanes: dict[str, asyncio.Task[None]] = {}
        #: Lanes that something was added to while they were worked off.
        self._again: set[str] = set()
        self._room = asyncio.Semaphore(LANES)
        self._open = True
        self._began = self._now_ms()

    async def claim(self, body: dict[str, Any], next: Callable[[], Awaitable[Any]]) -> BoltResponse | None:
        """Bolt's global middleware: what is to be done is claimed and thereby acknowledged; what only looks goes on to its listener."""
        found = arrived(body)
        if found is None:
            await next()
            return None
        if body.get("type") == "view_submission" and (wrong := await self._check(body)):
            return BoltResponse(status=200, body={"response_action": "errors", "errors": wrong})
        new = await self._do(
            self._claims.take, KIND, found.team, found.channel, found.key, lane=found.lane, place=found.place, payload=found.payload,
            fuller=found.fuller,
        )  # fmt: skip
        if new:
            faults.point("slack.claimed")
            self._begin(found.lane)
        return BoltResponse(status=200, body="")

    async def run(self) -> None:
        """Until cancelled. What waited when doce died is worked off first."""
        self._open, self._began = True, self._now_ms()
        try:
            for lane in await self._do(self._claims.lanes):
                self._begin(lane)
            await asyncio.Event().wait()
        finally:
            self._open = False
            tasks = list(self._lanes.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, lane: str) -> None:
        if not self._open:
            return
        if lane in self._lanes:
            self._again.add(lane)
            return
        self._again.discard(lane)
        task = self._lanes[lane] = asyncio.create_task(self._work_off(lane), name=f"slack-lane-{lane}")

        def done(_: asyncio.Task[None]) -> None:
            self._lanes.pop(lane, None)
            if lane in self._again:
                self._begin(lane)

        task.add_done_callback(done)

    async def _work_off(self, lane: str) -> None:
        """Until nothing waits in it. What goes wrong is rested after, and tried again."""
        rest = REST_S
        while True:
            async with self._room:
                pause = await self._look(lane)
            if pause is None:
                return
            if pause == AGAIN:
                await asyncio.sleep(rest)
                rest = min(MAX_REST_S, 2 * rest)
            elif pause > 0:
                await asyncio.sleep(pause)
            else:
                rest = REST_S

    async def _look(self, lane: str) -> float | None:
        """Work off what is next. Seconds until the next look; None: nothing waits; AGAIN: it did not work out."""
        try:
            claim = await self._do(self._claims.next, lane)
            if claim is None:
                return None
            held = self._began + CATCH_UP_MS if claim.at < self._began else claim.at + HOLD_MS
            early = held - self._now_ms() if claim.place else 0
            if early > 0:
                return min(early, CATCH_UP_MS) / 1000
            with log_context(operation="slack.claim", claim_id=claim.id):
                return AGAIN if await self._try(claim) else 0.0
        except Exception:  # a database that cannot be read, say: this lane must not end with something in it
            logger.exception("what was said cannot be looked at", extra={"lane": lane})
            return AGAIN

    async def _try(self, claim: Claim) -> bool:
        """True: it is to be tried again."""
        if not await self._do(self._claims.try_, claim):
            await self._do(self._claims.give_up, claim, "it was tried too often")
            logger.error("something from Slack was given up", extra={"claim": claim.id, "key": claim.key})
            if self._gave_up:
                await self._gave_up(claim)
            return False
        try:
            await self._handle(claim)
        except (Lost, NotYet) as error:
            if isinstance(error, NotYet) and self._now_ms() > claim.at + PATIENCE_MS:
                await self._do(self._claims.give_up, claim, "what it answers never came")
                return False
            # Slack is away, or something is on its way: no fault of what was said.
            logger.warning("%s", error, extra={"claim": claim.id})
            await self._do(self._claims.untried, claim)
            return True
        except Exception:  # one claim that breaks must not keep the others of its thread waiting for ever
            logger.exception("something from Slack could not be worked off", extra={"claim": claim.id, "key": claim.key})
            return True
        return False
