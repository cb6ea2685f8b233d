"""Who holds a lease: host, process and the moment that process began, so that the lease of a dead process is void at once.

The start is read from the kernel in ticks since boot where there is /proc: the start time that is counted from the wall
clock moves when the clock is set, and a live worker would look like a stranger with the same pid.
"""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path

import psutil

HOST = socket.gethostname().replace(":", "-")
_ENDED = ("Z", "X", "x")
#: There is such a process, but this user may not look at it: perhaps alive, so its lease has to run out.
_HIDDEN = ""


def name(claim: str) -> str:
    """``host:pid:start:claim`` of this process."""
    return f"{HOST}:{_process(os.getpid())}:{claim}"


@cache
def _process(pid: int) -> str:
    return f"{pid}:{_start(pid)}"


def is_gone(owner: str) -> bool:
    """Whether `owner` is certainly dead: a process of this host that ended, or whose pid is now another process."""
    host, _, rest = owner.partition(":")
    pid, _, rest = rest.partition(":")
    start, _, _ = rest.partition(":")
    if host != HOST or not pid.isdigit():
        return False
    return _start(int(pid)) not in (start, _HIDDEN)


def _start(pid: int) -> str | None:
    """When process `pid` began, None when it has ended (a zombie has)."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        # "pid (name, which may hold anything) state … starttime": fields 3 and 22 of proc(5).
        fields = stat.read_text().rpartition(")")[2].split()
        return None if fields[0] in _ENDED else fields[19]
    except OSError:
        return _start_by_psutil(pid)


def _start_by_psutil(pid: int) -> str | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else str(round(process.create_time()))
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        return _HIDDEN
