"""What threads of one process wake each other with. Hearing nothing is never fatal: whoever waits looks again by itself."""

from __future__ import annotations

import threading


class Bell:
    """Rings are counted, so that one between a look and a wait is not missed."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._count = 0

    @property
    def count(self) -> int:
        """Rings so far; read it before looking, hand it to `wait`."""
        return self._count

    def ring(self) -> None:
        with self._condition:
            self._count += 1
            self._condition.notify_all()

    def wait(self, seen: int, timeout_s: float) -> bool:
        """Until it has rung more than `seen` times, or `timeout_s` is over. Returns whether it rang."""
        with self._condition:
            return self._condition.wait_for(lambda: self._count != seen, timeout_s)


#: A job may have become claimable.
work = Bell()
#: A running job was asked to end.
cancel = Bell()
#: Pause or concurrency was changed.
control = Bell()
