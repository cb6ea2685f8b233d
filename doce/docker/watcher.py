"""Hears from the engine which containers of this doce start and end. After a break it looks at what it missed."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Any

from doce.docker.compose import INSTANCE
from doce.docker.engine import Engine

logger = logging.getLogger(__name__)

#: First and longest pause before the engine is asked again, seconds.
FIRST_PAUSE_S, LAST_PAUSE_S = 0.2, 3.0


class Watcher:
    """One thread on the engine's event stream."""

    def __init__(
        self, engine: Engine, instance: str, *, look: Callable[[], None], started: Callable[[str], None], ended: Callable[[str], None]
    ) -> None:
        """`look` is called after every connection, `started` and `ended` with a container's id."""
        self._engine = engine
        self._instance = instance
        self._look, self._started, self._ended = look, started, ended
        self._stopped = threading.Event()
        self._stream: Any = None
        self._thread = threading.Thread(target=self._run, name="doce-engine-events", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._stream is not None:
            with contextlib.suppress(Exception):
                self._stream.close()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        pause, away = FIRST_PAUSE_S, False
        while not self._stopped.is_set():
            try:
                self._listen()
                pause, away = FIRST_PAUSE_S, False
            except Exception as error:
                if not away and not self._stopped.is_set():
                    logger.warning("the engine's events cannot be heard; trying again", extra={"cause": str(error)})
                away = True
            self._stopped.wait(pause)
            pause = min(pause * 2, LAST_PAUSE_S)

    def _listen(self) -> None:
        filters = {"type": "container", "event": ["start", "die"], "label": f"{INSTANCE}={self._instance}"}
        stream = self._engine.client.events(filters=filters, decode=True)
        self._stream = stream
        with contextlib.closing(stream):
            # Only now: what happens after this look is in the stream.
            self._look()
            for event in stream:
                if self._stopped.is_set():
                    return
                tell = self._started if event.get("Action", event.get("status")) == "start" else self._ended
                try:
                    tell(event["Actor"]["ID"])
                except Exception:
                    logger.exception("an event of the engine could not be told")
