"""How a handler is ended from outside, or ends itself other than by success. A handler undoes what it must and lets them pass."""

from __future__ import annotations

from doce.errors import BadRequest, Conflict, DoceError, NotFound


class JobInterrupt(Exception):
    """A handler stops here."""


class Cancelled(JobInterrupt):
    """Somebody asked this job to end."""


class LostLease(JobInterrupt):
    """This job is no longer ours: it was given to another worker or ended. Nothing that is written now counts."""


class Rescheduled(JobInterrupt):
    """Look again later; not an error."""

    def __init__(self, delay_ms: int) -> None:
        super().__init__(f"again in {delay_ms} ms")
        self.delay_ms = delay_ms


class Permanent(DoceError):
    """This cannot be mended by trying again."""


#: Errors that another attempt would only repeat.
FINAL = (BadRequest, NotFound, Conflict, Permanent)
