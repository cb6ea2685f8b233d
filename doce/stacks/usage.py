"""What services use, measured between two looks."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """What a service uses now."""

    service: str
    #: percent of one processor, since the look before; at the first look since it began
    cpu: float
    #: bytes
    memory: int


class Meter:
    """Turns counters of processor time into percents. One counter a key: a process, a container."""

    def __init__(self) -> None:
        self._last: dict[object, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def percent(self, key: object, busy_s: float, *, at_s: float, since_s: float) -> float:
        """`busy_s` of processor time by `at_s`; `since_s` is when it began to count. Both on one clock, seconds."""
        with self._lock:
            before, when = self._last.get(key, (0.0, since_s))
            if busy_s < before:
                before, when = 0.0, since_s
            self._last[key] = busy_s, at_s
        return 100 * (busy_s - before) / max(at_s - when, 0.001)

    def keep(self, keys: set[object]) -> None:
        """Forget the others."""
        with self._lock:
            self._last = {key: value for key, value in self._last.items() if key in keys}
