"""Who does what runs by itself: one process at a time, by a lease."""

from __future__ import annotations

from collections.abc import Callable

from doce.clock import Clock
from doce.db import leases


class Shift:
    """A duty that one process of several has. Ask before each round; a holder that is gone or silent loses it."""

    def __init__(self, name: str, holder: str, *, ttl_s: float, clock: Clock, is_gone: Callable[[str], bool]) -> None:
        self._name = name
        self._holder = holder
        self._ttl_ms = round(ttl_s * 1000)
        self._clock = clock
        self._is_gone = is_gone

    def mine(self) -> bool:
        """This process has the duty now, or the one that had it is gone."""
        now = self._clock.now_ms()
        if leases.hold(self._name, self._holder, now_ms=now, ttl_ms=self._ttl_ms):
            return True
        other = leases.holder(self._name, now_ms=now)
        if other is None or not self._is_gone(other):
            return False
        leases.take_over(self._name, self._holder, now_ms=now, ttl_ms=self._ttl_ms)
        return True

    def end(self) -> None:
        """Let another process take over at once."""
        leases.release(self._name, self._holder)
