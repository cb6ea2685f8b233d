"""Where what is told of one turn waits for Slack's limits; once the turn has ended, before others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from doce_slack.posting import Place

#: While Slack is waited for it is looked so often whether the turn has ended, seconds.
LOOK_S = 1.0
#: Done when Slack takes a call.
Admission = asyncio.Future[None]


class Turnstile:
    """`ask` for an admission, `soon` how long one would take, `wait` until it is there."""

    def __init__(self, place: Place, over: Callable[[], bool]) -> None:
        """`over`: whether the turn has ended, as far as is known."""
        self._place, self._over = place, over

    def ask(self, method: str) -> Admission:
        """In line from now on; who goes away cancels it."""
        return self._place.workspace.calls.pace.ask(self._place.thread.team, method, self._place.channel, urgent=self._over())

    def soon(self, method: str) -> float:
        """Seconds until Slack would take a call of `method`."""
        return self._place.workspace.calls.pace.soon(self._place.thread.team, method, self._place.channel)

    async def wait(self, method: str, read: Callable[[], Any], admission: Admission | None = None) -> None:
        """Until `method` may be called; then `read`, so that what is sent is the latest."""
        pace, where = self._place.workspace.calls.pace, (self._place.thread.team, method, self._place.channel)
        admission = admission or self.ask(method)
        try:
            while not (await asyncio.wait({admission}, timeout=LOOK_S))[0]:
                before = self._over()
                await read()
                if self._over() and not before:
                    pace.hurry(*where, admission)
        finally:
            admission.cancel()
        await read()
