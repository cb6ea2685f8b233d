"""A thread that makes the same round again and again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from doce.db.connection import database
from doce.errors import DoceError
from doce.upkeep.shift import Shift

logger = logging.getLogger(__name__)


class Rounds:
    """Calls `look` every `every_s` seconds, the first time at once, while this process has the duty. A round that breaks is told."""

    def __init__(self, name: str, look: Callable[[], object], *, every_s: float, shift: Shift) -> None:
        self._name = name
        self._look = look
        self._every_s = every_s
        self._shift = shift
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"doce-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        self.round()
        while not self._stopped.wait(self._every_s):
            self.round()
        try:
            self._shift.end()
        except DoceError as error:
            logger.info("%s could not hand over; its lease runs out", self._name, extra={"cause": str(error)})
        database.close()

    def round(self) -> None:
        """One round."""
        try:
            if self._shift.mine():
                self._look()
        except DoceError as error:
            logger.warning("%s could not look: %s", self._name, error)
        except Exception:  # a background thread: it looks again later
            logger.exception("%s broke; it looks again later", self._name)
