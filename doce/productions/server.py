"""doce's own web server of one deployed site, for machines without nginx: a program of its own, which goes on while doce is stopped.

``python -m doce.productions.server server.json``. The same promises as the nginx configuration beside it: visitors get what
``current`` points at, then what only the release before had; a second listener answers ``/<hash>/…`` for doce alone.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from doce.productions.layout import CURRENT, PREVIOUS, TO
from doce.productions.nginx import HASHED
from doce.productions.types import teach
from doce.transport import Listener, listen

_HASHED = re.compile(HASHED + "$")
_RELEASE = re.compile(r"/([0-9a-f]{8})(/.*)")
#: Headers that belong to one connection and not to the answer.
_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-authenticate", "proxy-authorization"}


class Files:
    """The files of one folder, which may be another one at every request: links are followed when asked."""

    def __init__(self, *folders: Path) -> None:
        """The first folder that has a file gives it; the first one's ``404.html`` says that none has."""
        self._folders = [StaticFiles(directory=folder, html=True, check_dir=False) for folder in folders]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (await self._answer(scope))(scope, receive, send)

    async def _answer(self, scope: Scope) -> Response:
        path = scope["path"]
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("Method Not Allowed", 405, {"allow": "GET, HEAD"})
        missing: Response = PlainTextResponse("Not Found", 404)
        if not any(part.startswith(".") and part != ".well-known" for part in path.split("/")):
            for place, files in enumerate(self._folders):
                with suppress(HTTPException, OSError, RuntimeError):
                    found = await files.get_response(files.get_path(scope), scope)
                    if found.status_code != 404:
                        found.headers["cache-control"] = "public, max-age=31536000, immutable" if _HASHED.search(path) else "no-cache"
                        found.headers["x-content-type-options"] = "nosniff"
                        return found
                    missing = missing if place else found
        missing.headers["cache-control"] = "no-cache"
        missing.headers["x-content-type-options"] = "nosniff"
        return missing


class Site:
    """What visitors get: files, or the answers of the live release's server."""

    def __init__(self, root: Path, *, proxied: bool) -> None:
        self._to = root / CURRENT / TO if proxied else None
        self._files = Zipped(Files(root / CURRENT / "dist", root / PREVIOUS / "dist"))
        self._client = httpx.AsyncClient(timeout=httpx.Timeout(10, read=3600), trust_env=False, follow_redirects=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if self._to is None:
            await self._files(scope, receive, send)
        else:
            await (await self._passed_on(Request(scope, receive), self._to))(scope, receive, send)

    async def _passed_on(self, request: Request, to: Path) -> Response:
        """The answer of the server that `to` points at now."""
        headers = [(name, value) for name, value in request.headers.raw if name.decode("latin-1") not in _HOP]
        url = f"http://{_place(to)}{request.url.path}" + (f"?{request.url.query}" if request.url.query else "")
        body = request.stream() if {"content-length", "transfer-encoding"} & set(request.headers) else None
        try:
            asked = self._client.build_request(request.method, url, headers=headers, content=body)
            answer = await self._client.send(asked, stream=True)
        except httpx.HTTPError:
            return PlainTextResponse("The site does not answer.", 502)

        async def pieces() -> AsyncIterator[bytes]:
            try:
                async for piece in answer.aiter_raw():
                    yield piece
            finally:
                await answer.aclose()

        passed = StreamingResponse(pieces(), answer.status_code)
        passed.raw_headers = [(name.lower(), value) for name, value in answer.headers.raw if name.lower().decode("latin-1") not in _HOP]
        return passed


def _place(to: Path) -> str:
    return to.resolve().name


class Zipped:
    """Compressed, but for parts of files: a range counts bytes of what is stored."""

    def __init__(self, app: ASGIApp) -> None:
        self._plain = app
        self._zipped = GZipMiddleware(app, minimum_size=512)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ranged = any(name == b"range" for name, _ in scope["headers"])
        await (self._plain if ranged else self._zipped)(scope, receive, send)


class Check:
    """``/<hash>/…``: any release, for doce alone."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        found = _RELEASE.fullmatch(scope["path"])
        if found is None:
            await PlainTextResponse("Not Found", 404)(scope, receive, send)
            return
        inner = {**scope, "path": found[2], "raw_path": found[2].encode(), "root_path": ""}
        await Files(self._root / found[1] / "dist")(inner, receive, send)


async def serve(config: dict[str, Any]) -> None:
    """Until SIGTERM or SIGQUIT; open requests are finished."""
    teach()
    root = Path(config["root"])
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    listeners = []
    for app, name in ((Site(root, proxied=config["proxied"]), "listen"), (Check(root), "check")):
        host, _, port = str(config[name]).rpartition(":")
        listeners.append(Listener(app, listen(host, int(port))))
    for listener in listeners:
        listener.begin()
    print(f"serves {root} on {config['listen']}", flush=True)
    await stopping.wait()
    for listener in listeners:
        await listener.end()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(Path(sys.argv[1]).read_text("utf-8"))))
