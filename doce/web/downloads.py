"""Files as answers: streamed, and never run as doce.

What a project holds was written by an agent. So a browser is told to keep it (attachment), not to guess what it is (nosniff),
and, should it open it all the same, to give it no scripts and no origin (sandbox).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import quote

from doce.actions.registry import Download
from doce.web.sse import Stream

#: How long a reader may not read before it is cut off, seconds.
SLOW_S = 60
SANDBOX = "default-src 'none'; sandbox; frame-ancestors 'none'"


def download(found: Download, do: Callable[..., Awaitable[Any]]) -> Stream:
    """`found` as an answer; its pieces are read by `do`."""
    headers = [
        (b"content-type", found.media_type.encode("latin-1")),
        (b"content-disposition", disposition(found.name).encode("latin-1")),
        (b"content-security-policy", SANDBOX.encode()),
    ]
    if found.size is not None:
        headers.append((b"content-length", str(found.size).encode()))
    return Stream(_pieces(found, do), slow_s=SLOW_S, headers=headers)


async def _pieces(found: Download, do: Callable[..., Awaitable[Any]]) -> AsyncIterator[bytes]:
    reading: asyncio.Future[bytes | None] | None = None
    try:
        while True:
            reading = asyncio.ensure_future(do(next, found.pieces, None))
            piece = await asyncio.shield(reading)
            if piece is None:
                return
            yield piece
    finally:
        # A thread that reads cannot be cancelled: what it reads from is closed after it.
        if reading and not reading.done():
            await asyncio.wait({reading})
        close = getattr(found.pieces, "close", None)
        if close:
            close()


def disposition(name: str) -> str:
    """``attachment`` with the file name, also where it is not ASCII."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in name) or "file"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name.encode('utf-8', 'replace').decode(), safe='')}"
