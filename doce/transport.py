"""How doce listens: uvicorn, embedded in a loop that somebody else owns.

Two things uvicorn leaves out: cutting a connection whose reader does not read (a close waits until everything is sent),
and starting without taking over the process's signals.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp, Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from doce.errors import Unavailable

ABORT = "doce.abort"


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, with a way to cut the connection at once."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        # Not a real ASGI extension, so its value is a function and not a dictionary.
        self.scope["extensions"] = cast("dict[str, dict[object, object]]", {ABORT: self._abort})

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


def abort(scope: Scope) -> None:
    """Cut the connection of this request: nothing more is sent, what was not sent is dropped."""
    cut: Callable[[], None] | None = scope.get("extensions", {}).get(ABORT)
    if cut is not None:
        cut()


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on `port` (0: a free one). Raises Unavailable naming a port that is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol by its number: asyncio switches Nagle off only where it reads TCP.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(2048)
    except OSError as error:
        made.close()
        raise Unavailable(
            f"Port {port} on {host} cannot be listened on: {error.strerror}.", hint="End what listens there, or choose another port."
        ) from error
    made.set_inheritable(False)
    return made


class Listener(uvicorn.Server):
    """A server on one socket, run as a task of the current loop."""

    def __init__(self, app: ASGIApp, sock: socket.socket, *, drain_s: int = 5, **options: Any) -> None:
        config = uvicorn.Config(
            app,
            http=Protocol,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=drain_s,
            lifespan="off",
            ws="none",
            **options,
        )
        super().__init__(config)
        self._sock = sock
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        return int(self._sock.getsockname()[1])

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the process's business."""
        yield

    def begin(self) -> asyncio.Task[None]:
        """Start serving; the task ends when the server has stopped."""
        self._task = asyncio.create_task(self.serve(sockets=[self._sock]), name=f"doce-listen-{self.port}")
        return self._task

    async def end(self) -> None:
        """No new connections, a few seconds for what is going on, then the end."""
        self.should_exit = True
        if self._task:
            await asyncio.gather(self._task, return_exceptions=True)
