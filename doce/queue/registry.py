"""Which handler does which job type. A process has one set of handlers; the composition root installs it.

It is kept here and not handed around because a job may end for good outside a worker too (an action cancels a queued
job, a sweep finds the attempts spent), and what its handler has to put right must happen in that same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from doce.queue.context import JobContext
    from doce.queue.types import Job


@dataclass(frozen=True)
class Handler:
    """How one job type is done."""

    #: Does one step, safe to run twice. Ends by `context.finishing()`, or just returns.
    run: Callable[[JobContext, Any], None]
    #: The job failed for good, with this error. Called inside the transaction that says so: rows only, and quick.
    failed: Callable[[Job, str], None] | None = None
    #: The job was cancelled. Called inside the transaction that says so: rows only, and quick.
    cancelled: Callable[[Job], None] | None = None


_handlers: dict[str, Handler] = {}


def install(handlers: Mapping[str, Handler]) -> None:
    """From now on these, and only these."""
    _handlers.clear()
    _handlers.update({str(name): handler for name, handler in handlers.items()})


def find(job_type: str) -> Handler | None:
    """The handler of `job_type`, if this process has one."""
    return _handlers.get(job_type)
