"""Finding doce's children again: each carries a tag in its environment, which its own children inherit.

After a kill -9 of doce this is what says which processes are whose. No pid file is needed, and none is trusted.
"""

from __future__ import annotations

import os
import select
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import psutil

VARIABLE = "DOCE_SERVICE"
#: Id of the service's own process; set by the launcher, see launch.py.
LEADER = "DOCE_LEADER"
#: Name of the signal that asks the service to end, for a doce that did not start it.
STOP_SIGNAL = "DOCE_STOP_SIGNAL"
#: Names of the variables that hold secrets, comma-separated, for the same.
SECRETS = "DOCE_SECRETS"


@dataclass(frozen=True, slots=True)
class Tag:
    """``instance/project/service/fingerprint``"""

    instance: str
    project_id: str
    service: str
    fingerprint: str

    def __str__(self) -> str:
        return f"{self.instance}/{self.project_id}/{self.service}/{self.fingerprint}"

    @classmethod
    def parse(cls, text: str) -> Tag | None:
        parts = text.split("/")
        return cls(*parts) if len(parts) == 4 else None


@dataclass(frozen=True, slots=True)
class Found:
    """A process that carries a tag of ours."""

    process: psutil.Process
    tag: Tag
    environment: Mapping[str, str]

    @property
    def leader(self) -> int | None:
        """The service's process that this one descends from (or is); None: it comes from the launcher, before the service."""
        text = self.environment.get(LEADER, "")
        return int(text) if text.isdigit() else None

    @property
    def leads(self) -> bool:
        """It is the service itself (or its launcher), not something that the service started."""
        if self.leader is not None:
            return self.leader == self.process.pid
        try:
            return os.getsid(self.process.pid) == self.process.pid
        except OSError:
            return False


def tagged(instance: str) -> Iterator[Found]:
    """Every living process of this machine that carries a tag of `instance`."""
    for candidate in psutil.process_iter():
        try:
            if (candidate.environ().get(VARIABLE) or "").partition("/")[0] != instance:
                continue
            # process_iter remembers processes by number, and a number may have gone to another process meanwhile.
            process = psutil.Process(candidate.pid)
            environment = process.environ()
            tag = Tag.parse(environment.get(VARIABLE, ""))
            if tag and tag.instance == instance and process.status() != psutil.STATUS_ZOMBIE:
                yield Found(process, tag, environment)
        except (psutil.Error, OSError):
            # Gone meanwhile, or another user's.
            continue


def session(leader: int) -> list[psutil.Process]:
    """The processes of the session that `leader` made, also those that emptied their environment."""
    members = []
    for pid in psutil.pids():
        try:
            if pid != leader and os.getsid(pid) == leader:
                members.append(psutil.Process(pid))
        except (psutil.Error, OSError):
            continue
    return members


def wait_gone(process: psutil.Process, timeout_s: float | None = None) -> bool:
    """Until `process`, which need not be a child of ours, has ended; False after `timeout_s`."""
    if hasattr(os, "pidfd_open"):
        try:
            watched = os.pidfd_open(process.pid)
        except ProcessLookupError:
            return True
        except OSError:
            return _wait_by_looking(process, timeout_s)
        try:
            if not process.is_running():
                return True
            poll = select.poll()
            poll.register(watched, select.POLLIN)
            return bool(poll.poll(None if timeout_s is None else timeout_s * 1000))
        finally:
            os.close(watched)
    return _wait_by_looking(process, timeout_s)


def _wait_by_looking(process: psutil.Process, timeout_s: float | None) -> bool:
    try:
        process.wait(timeout_s)
    except psutil.TimeoutExpired:
        return False
    except psutil.Error:
        pass
    return True
