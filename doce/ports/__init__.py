"""Ports of this machine, given to services for as long as their project lives.

The row is the promise; whether somebody else listens there is looked at too, since no table knows other programs.
"""

from __future__ import annotations

import random
import socket
import time

from doce.db.connection import database
from doce.db.models import Port
from doce.errors import Conflict, Unavailable


class PortTaken(Conflict):
    """The port was taken by another program between the choice and the start."""

    def __init__(self, port: int, service: str) -> None:
        super().__init__(f"Port {port} of {service} is taken by another program.", hint="doce tries another one.")
        self.port = port
        self.service = service


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Nobody listens on `port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do it: a port in TIME_WAIT is free, one that is listened on is not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def reserve(project_id: str, service: str, span: tuple[int, int], *, rng: random.Random | None = None) -> int:
    """The port of a project's service: the one it has, else a free one of `span`. Joins the caller's transaction.

    Raises Unavailable when every port of the range is taken.
    """
    with database.atomic():
        row = Port.get_or_none(Port.project_id == project_id, Port.service == service)
        return int(row.port) if row else _take(project_id, service, span, rng, but=None)


def move(project_id: str, service: str, span: tuple[int, int], *, rng: random.Random | None = None) -> int:
    """Another port, since the one it has is taken by somebody else."""
    with database.atomic():
        row = Port.get_or_none(Port.project_id == project_id, Port.service == service)
        if row:
            row.delete_instance()
        return _take(project_id, service, span, rng, but=int(row.port) if row else None)


def release(project_id: str, service: str | None = None) -> None:
    """Free the port of a project's service; without one, every port of the project."""
    one = () if service is None else (Port.service == service,)
    Port.delete().where(Port.project_id == project_id, *one).execute()


def _take(project_id: str, service: str, span: tuple[int, int], rng: random.Random | None, but: int | None) -> int:
    first, last = span
    taken = {row.port for row in Port.select(Port.port).where(Port.port.between(first, last))}
    # From anywhere in the range: two doces on one machine then rarely want the same.
    start = (rng or random).randrange(last - first + 1)
    for step in range(last - first + 1):
        port = first + (start + step) % (last - first + 1)
        if port not in taken and port != but and is_free(port):
            Port.create(port=port, project_id=project_id, service=service, created_at=time.time_ns() // 1_000_000)
            return port
    raise Unavailable(f"Every port from {first} to {last} is taken.", hint="Delete projects, or widen the range in the settings.")
