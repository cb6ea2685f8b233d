"""Places where a test can make doce die, break or wait, named so that a test reads like the accident it is about.

``DOCE_FAULT`` (settings.fault) is a comma-separated list of ``name=action``, each with an optional ``@n`` (the n-th time
the place is passed, else the first):

- ``kill``: SIGKILL to this process, as the kernel or a power cut would do it;
- ``raise``: FaultRaised, as a bug in that place would;
- ``pause:FILE``: make ``FILE.reached``, then wait until FILE exists. FILE may not contain a comma or ``@``.

In a doce that nobody configured, a point costs one look at an empty dict.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from doce.errors import BadRequest

#: Every point there is, and where it lies. A point that is not in this table cannot be configured or passed.
POINTS: dict[str, str] = {
    "queue.enqueued": "a job is inserted, the transaction not yet committed",
    "queue.claim": "a worker is about to claim a job",
    "queue.claimed": "a claim is committed, the handler has not begun",
    "queue.worked": "the handler has done its work, the finishing transaction has not begun",
    "queue.finish": "inside the finishing transaction, all rows changed, not committed",
    "queue.finished": "the finishing transaction is committed",
    "queue.release": "a stopping worker is about to give its unfinished jobs back",
    "process.starting": "a service's port was found free, its process is not started",
    "process.started": "a service's process is started, nothing about it is recorded",
    "docker.created": "a service's container is made, not started",
    "docker.up": "the services of a project are started, its job has not finished",
    "docker.stop": "the services of a project are stopped, the rows do not say so",
    "project.create.copied": "the template is copied and committed, the project not named",
    "project.delete.destroyed": "the services of a project are removed, its folder is there",
    "project.delete.removed": "the folder of a project is removed, its row is there",
    "production.laid": "the snapshot is laid out, nothing is built",
    "production.building": "a build is started, its job has not looked at it",
    "production.built": "the release's files are kept, no row says so",
    "production.started": "what serves a release is up, its job has not finished",
    "production.switched": "the link points at the new release, the row does not",
    "production.stopped": "what served is stopped, the row does not say so",
    "opencode.session.created": "the agent has a session, its id is not recorded",
    "opencode.prompt.before": "a message id is minted, not recorded, nothing sent",
    "opencode.prompt.intended": "a message id is recorded, nothing sent",
    "opencode.prompt.sent": "a prompt is sent, the rows do not say so",
    "slack.claimed": "something from Slack is claimed, Slack does not know, nothing is done about it",
    "slack.settle": "inside the transaction that does what was asked, nothing committed",
    "slack.settled": "what was asked is done and settled, nobody is told",
    "slack.queued": "a prompt for which what goes on is to end is queued, nothing has ended, its claim is not settled",
    "slack.acted": "something outside was asked, the claim is not settled",
    "slack.intended": "a message is written down, not posted",
    "slack.called": "a message is posted, its time stamp is not kept",
    "slack.placed": "a message is posted and kept",
    "slack.appended": "a stream has more text, nothing else has happened",
    "slack.ended": "a turn's message says its last, no row says so",
    "slack.closed": "a turn's message is closed, what follows it is not sent",
    "slack.uploading": "a file is written down, Slack does not have it",
    "slack.uploaded": "a file is in a thread, no row says so",
    "slack.rolling": "a stream has ended in time, its next part is not written down",
    "slack.rolled": "the next part of a stream is written down, nothing is posted",
}

_POLL_S = 0.01


class FaultRaised(RuntimeError):
    """A fault point was told to raise."""


@dataclass
class _Fault:
    action: str
    #: how many more times the point is passed before the fault trips
    left: int
    lock: threading.Lock = field(default_factory=threading.Lock)

    def due(self) -> bool:
        with self.lock:
            self.left -= 1
            return self.left == 0


_faults: dict[str, _Fault] = {}


def configure(text: str | None) -> None:
    """Arm the faults of `text`, and only those. Raises BadRequest for a point or an action that does not exist."""
    _faults.clear()
    for item in filter(None, (text or "").split(",")):
        name, equals, rest = item.strip().partition("=")
        action, at, times = rest.partition("@")
        if name not in POINTS or not equals or not (action in ("kill", "raise") or action.startswith("pause:")):
            hint = f"Write name=kill, name=raise or name=pause:FILE; names: {', '.join(POINTS)}."
            raise BadRequest(f"{item.strip()!r} is not a fault.", hint=hint)
        if at and not (times.isdigit() and int(times) > 0):
            raise BadRequest(f"{item.strip()!r} is not a fault: what follows @ counts from 1.")
        _faults[name] = _Fault(action, int(times) if at else 1)


def point(name: str) -> None:
    """The place `name` is passed."""
    if not _faults:
        return
    if name not in POINTS:
        raise KeyError(name)
    fault = _faults.get(name)
    if fault is None or not fault.due():
        return
    if fault.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault.action == "raise":
        raise FaultRaised(f"The fault point {name} was told to raise.")
    _wait_for(Path(fault.action.removeprefix("pause:")))


def _wait_for(file: Path) -> None:
    file.with_name(file.name + ".reached").touch()
    while not file.exists():
        time.sleep(_POLL_S)
