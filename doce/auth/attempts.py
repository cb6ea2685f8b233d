"""Failed sign-ins are counted by address: after five in a minute the door stays shut for a while."""

from __future__ import annotations

import threading
from collections import deque

from doce.clock import Clock
from doce.errors import RateLimited

LIMIT = 5
WINDOW_MS = 60_000
#: Addresses remembered at once; the oldest are forgotten first.
REMEMBERED = 10_000


class Attempts:
    """Failures of the last minute, by whatever key (address, user name)."""

    def __init__(self, clock: Clock, limit: int = LIMIT) -> None:
        self._clock = clock
        self._limit = limit
        self._failures: dict[str, deque[int]] = {}
        self._lock = threading.Lock()

    def check(self, key: str) -> None:
        """Raises RateLimited while `key` has failed too often."""
        with self._lock:
            self._check(key)

    def failed(self, key: str) -> None:
        """Count a failure. Raises RateLimited when there were too many already: of many at once no more than the limit pass."""
        with self._lock:
            self._check(key)
            self._recent(key).append(self._clock.now_ms())
            while len(self._failures) > REMEMBERED:
                self._failures.pop(next(iter(self._failures)))

    def _check(self, key: str) -> None:
        failures = self._recent(key)
        if len(failures) >= self._limit:
            wait_ms = failures[0] + WINDOW_MS - self._clock.now_ms()
            # Rounded up: who comes back when told is let in.
            raise RateLimited("Too many failed attempts.", retry_after_s=max(1, -(-wait_ms // 1000)))

    def _recent(self, key: str) -> deque[int]:
        failures = self._failures.setdefault(key, deque(maxlen=self._limit))
        while failures and failures[0] <= self._clock.now_ms() - WINDOW_MS:
            failures.popleft()
        return failures
