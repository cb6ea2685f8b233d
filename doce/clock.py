"""Time as something passed in, so that back-off and lease tests are exact."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def now_ms(self) -> int:
        """Wall clock, epoch milliseconds UTC: what is stored in rows."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back: what durations are measured with."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that a test moves by hand."""

    def __init__(self, now_ms: int = 1_800_000_000_000) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic(self) -> float:
        return self._now_ms / 1000

    def advance(self, *, ms: int = 0, s: float = 0) -> None:
        self._now_ms += ms + round(s * 1000)
