"""The twin's time: real, and a test can move it forward by hand."""

from __future__ import annotations

import asyncio
import contextlib
import time


class Clock:
    """Seconds since the epoch. What waits on it wakes when the time has come or was moved there."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._moved = asyncio.Event()

    def now(self) -> float:
        """Wall clock of this Slack."""
        return time.time() + self._ahead

    def advance(self, seconds: float) -> None:
        """Move the time forward; streams die, triggers expire and retries fall due as they would have."""
        self._ahead += seconds
        self._moved.set()
        self._moved = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """Until `seconds` from now, on this clock."""
        until = self.now() + seconds
        while (left := until - self.now()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._moved.wait()
