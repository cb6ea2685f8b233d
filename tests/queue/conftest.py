"""A queue in a database of its own, with a clock moved by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import peewee
import pytest

from doce.clock import ManualClock
from doce.queue import registry
from doce.queue.registry import Handler
from doce.queue.worker import Worker
from doce.testing import faults


@pytest.fixture(autouse=True)
def _fresh(db: peewee.SqliteDatabase) -> Iterator[None]:
    """Every test here has a database, no handlers and no faults but its own."""
    registry.install({})
    yield
    faults.configure(None)
    registry.install({})


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def start_worker() -> Iterator[Callable[..., Worker]]:
    """Starts workers with the handlers it is given; ends them after the test."""
    started: list[Worker] = []

    def start(handlers: Mapping[str, Handler], **options: Any) -> Worker:
        worker = Worker(handlers, **{"workers": 2, "poll_ms": 50, "stop_grace_s": 1, **options})
        started.append(worker)
        worker.start()
        return worker

    yield start
    for worker in started:
        worker.stop()
