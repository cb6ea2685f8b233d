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
from doce.errors import DoceError
from doce.logger import log_context
from doce_slack.calls import Lost
from doce_slack.heard import arrived
from doce_slack.workspaces import KIND, Do

logger = logging.getLogger(__name__)

#: A message waits so long for one that was written before it and delivered after it, ms.
HOLD_MS = 150
#: Most lanes worked off at the same time.
LANES = 16
MAX_REST_S = 30.0

Handle = Callable[[Claim], Awaitable[None]]
#: Fields of a form that are wrong, with why, or nothing; asked before a form is claimed.
Check = Callable[[dict[str, Any]], Awaitable[dict[str, str]]]


class Intake:
    """`claim` is Bolt's middleware; `run` works off."""

    def __init__(
        self, claims: Claims, do: Do, handle: Handle, check: Check, *, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    ) -> None:
        """`handle` does what a claim asks and settles it."""
        self._claims, self._do, self._handle, self._check, self._now_ms = claims, do, handle, check, now_ms
        self._rung = asyncio.Event()
        self._lanes: dict[str, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(LANES)

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
            self._rung.set()
        return BoltResponse(status=200, body="")

    async def run(self) -> None:
        """Until cancelled. What waited when doce died is worked off first."""
        try:
            while True:
                self._rung.clear()
                try:
                    waiting = await self._do(self._claims.waiting)
                except DoceError as error:
                    logger.warning("what was said cannot be looked at: %s", error.message)
                    await asyncio.sleep(1)
                    continue
                for lane in {claim.lane for claim in waiting} - set(self._lanes):
                    self._begin(lane)
                await self._rung.wait()
        finally:
            tasks = list(self._lanes.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, lane: str) -> None:
        task = self._lanes[lane] = asyncio.create_task(self._work_off(lane), name=f"slack-lane-{lane}")

        def done(_: asyncio.Task[None]) -> None:
            self._lanes.pop(lane, None)
            # What came while this lane ended.
            self._rung.set()

        task.add_done_callback(done)

    async def _work_off(self, lane: str) -> None:
        rest = 0.5
        while True:
            async with self._room:
                waiting = await self._do(self._claims.waiting, lane)
                if not waiting:
                    return
                claim = waiting[0]
                early = claim.at + HOLD_MS - self._now_ms() if claim.place else 0
                again = False
                if early <= 0:
                    with log_context(operation="slack.claim", claim_id=claim.id):
                        again = await self._try(claim)
            if early > 0:
                await asyncio.sleep(early / 1000)
            elif again:
                await asyncio.sleep(rest)
                rest = min(MAX_REST_S, 2 * rest)

    async def _try(self, claim: Claim) -> bool:
        """True: it is to be tried again."""
        try:
            if not await self._do(self._claims.try_, claim):
                await self._do(self._claims.give_up, claim, "it was tried too often")
                logger.error("something from Slack was given up", extra={"claim": claim.id, "key": claim.key})
                return False
            await self._handle(claim)
        except Lost as error:
            # Slack is away, which is no fault of what was said.
            logger.warning("%s", error.message, extra={"claim": claim.id})
            await self._do(self._claims.untried, claim)
            return True
        except Exception:  # one claim that breaks must not keep the others of its thread waiting for ever
            logger.exception("something from Slack could not be worked off", extra={"claim": claim.id, "key": claim.key})
            return True
        return False
