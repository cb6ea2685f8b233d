"""Server-sent events: a project's events and its log. A reader is a cursor; one that does not read is cut off."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from doce import transport
from doce.actions.registry import find_project
from doce.actions.services import Services
from doce.auth import policy
from doce.auth.users import Person
from doce.errors import BadRequest, DoceError
from doce.presence.presence import Visit
from doce.projects.views import ProjectView
from doce.stacks.logs import Chunk, LogFile
from doce.web.requests import bearer, glance, session, who

HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
CONNECTED = b": connected\n\n"
KEEP_ALIVE = b": keep-alive\n\n"
#: How often an open stream looks whether its reader may still read, seconds.
CHECK_S = 3.0
#: How long a thread waits for a log to grow, seconds, and how many may at once.
LOG_WAIT_S = 0.5
LOG_THREADS = 64
MAX_VIEWER_ID = 100
#: Highest cursor: one beyond the head of the log is taken, and means to start over.
MAX_CURSOR = 10**18 - 1
Do = Callable[..., Awaitable[Any]]


class Stream(Response):
    """A streaming answer that ends when its reader goes, and cuts one that stops reading.

    Plain ASGI: one task watches for the disconnect, the other writes.
    """

    def __init__(self, chunks: AsyncIterator[bytes], *, slow_s: float, headers: Sequence[tuple[bytes, bytes]] = HEADERS) -> None:
        self._chunks = chunks
        self._slow_s = slow_s
        self._heads = list(headers)
        self.background = None
        self.status_code = 200

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            await send({"type": "http.response.start", "status": 200, "headers": list(self._heads)})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        writing = asyncio.create_task(self._write(scope, send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait({writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            writing.cancel()
            await asyncio.gather(leaving, writing, return_exceptions=True)
        if not writing.cancelled() and (error := writing.exception()):
            raise error

    async def _write(self, scope: Scope, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(self._heads)})
        # Closed here and now, not when the collector comes by: a reader that is gone must cost nothing.
        async with aclosing(self._chunks) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                try:
                    # Not wait_for: that is a task for every chunk of every reader.
                    async with asyncio.timeout(self._slow_s):
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
                except TimeoutError:
                    transport.abort(scope)
                    return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Streams:
    """The streaming endpoints."""

    def __init__(self, services: Services, do: Do) -> None:
        self._services = services
        self._do = do
        # Of their own: readers of logs wait in threads, and nothing else may wait for them.
        self._log_threads = ThreadPoolExecutor(LOG_THREADS, thread_name_prefix="doce-log")

    def close(self) -> None:
        self._log_threads.shutdown(wait=False, cancel_futures=True)

    async def events(self, request: Request) -> Response:
        """GET /api/projects/{project}/opencode/event: what happens in a project, from a cursor on."""
        person, project = await self._admit(request)
        after = cursor(request.headers.get("last-event-id") or request.query_params.get("after"))
        follow = _yes(request, "follow")
        return Stream(self._events(request, person, project.id, after, follow), slow_s=self._services.settings.slow_viewer_s)

    async def _events(self, request: Request, person: Person, project_id: str, after: int, follow: bool) -> AsyncIterator[bytes]:
        yield CONNECTED
        feed = self._services.feed
        reader = feed.subscribe(project_id, after)
        visit = self._visit(request, person, project_id, follow)
        loop = asyncio.get_running_loop()
        quiet_at = loop.time()
        # Not all at the same time: a crowd that came together would be looked at together.
        checked = quiet_at - random.uniform(0, CHECK_S)
        pause = min(CHECK_S, self._services.settings.keepalive_s)
        try:
            while follow or reader.cursor < reader.head:
                try:
                    # Cancelling a reader's wait loses nothing: its cursor moves when it hands something out.
                    async with asyncio.timeout(pause):
                        chunk = await anext(reader)
                    yield chunk
                    quiet_at = loop.time()
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    if not follow:
                        return
                if loop.time() - checked >= CHECK_S:
                    checked = loop.time()
                    if not await self._is_still_admitted(request, person, project_id):
                        return
                if loop.time() - quiet_at >= self._services.settings.keepalive_s:
                    quiet_at = loop.time()
                    yield KEEP_ALIVE
        finally:
            reader.close()
            self._leave(visit)

    async def logs(self, request: Request) -> Response:
        """GET /api/projects/{project}/logs: the services' log, from a byte offset on."""
        person, project = await self._admit(request)
        offset, follow = place(request, "offset"), follows(request)
        return Stream(self._logs(request, person, project, offset, follow), slow_s=self._services.settings.slow_viewer_s)

    async def _logs(self, request: Request, person: Person, project: ProjectView, offset: int | None, follow: bool) -> AsyncIterator[bytes]:
        yield CONNECTED
        visit = self._visit(request, person, project.id, follow)
        try:
            async for frame in self._log_frames(request, person, project, offset, follow):
                yield frame
        finally:
            self._leave(visit)

    async def _log_frames(
        self, request: Request, person: Person, project: ProjectView, offset: int | None, follow: bool
    ) -> AsyncIterator[bytes]:
        log = LogFile(self._services.projects.log_file(project.id))
        loop = asyncio.get_running_loop()
        checked = quiet_at = loop.time()
        while not self._services.feed.closed:
            chunk: Chunk = await loop.run_in_executor(self._log_threads, log.read, offset)
            if chunk.text or chunk.truncated or offset is None:
                yield _log_frame(chunk)
                quiet_at = loop.time()
            offset = chunk.next_offset
            if not follow and not chunk.text:
                return
            if follow and not chunk.text:
                # A short wait: a thread that waits cannot be cancelled when the reader goes.
                await loop.run_in_executor(self._log_threads, log.wait, offset, LOG_WAIT_S)
                if loop.time() - quiet_at >= self._services.settings.keepalive_s:
                    quiet_at = loop.time()
                    yield KEEP_ALIVE
            if loop.time() - checked >= CHECK_S:
                checked = loop.time()
                if not await self._is_still_admitted(request, person, project.id):
                    return

    def _visit(self, request: Request, person: Person, project_id: str, follow: bool) -> Visit | None:
        """Whoever keeps a stream open watches, unless it says otherwise (`watch=false`: something that listens for nobody)."""
        if not follow or not _yes(request, "watch"):
            return None
        viewer_id = request.query_params.get("viewerId") or None
        return self._services.presence.enter(project_id, person.id, viewer_id=viewer_id)

    def _leave(self, visit: Visit | None) -> None:
        if visit:
            self._services.presence.leave(visit)

    async def _admit(self, request: Request) -> tuple[Person, ProjectView]:
        unknown = set(request.query_params) - {"after", "offset", "follow", "watch", "viewerId"}
        person = await self._do(who, self._services, request)
        admitted: tuple[Person, ProjectView] = await self._do(self._find, person, request.path_params["project"])
        if unknown:
            raise BadRequest(f"This stream knows no {sorted(unknown)[0]!r}.", hint="It knows after, offset, follow, watch and viewerId.")
        if len(request.query_params.get("viewerId", "")) > MAX_VIEWER_ID:
            raise BadRequest("The viewerId is too long.", hint=f"At most {MAX_VIEWER_ID} characters.", details={"field": "viewerId"})
        return admitted

    def _find(self, person: Person | None, word: str) -> tuple[Person, ProjectView]:
        signed_in = policy.signed_in(self._services.users, person)
        return signed_in, find_project(self._services, signed_in, word)

    async def _is_still_admitted(self, request: Request, person: Person, project_id: str) -> bool:
        """At a glance where that is enough: a thousand readers are asked this every few seconds."""
        if glance(self._services, request) == person and self._services.projects.may_see(project_id, _sees(person)):
            return True
        return bool(await self._do(self._may_still, request, person, project_id))

    def _may_still(self, request: Request, person: Person, project_id: str) -> bool:
        """What was shown still opens, the project is still there, and this person still belongs to it."""
        try:
            return still_signed_in(self._services, request, person) and self._services.projects.may_see(project_id, _sees(person))
        except DoceError:
            return False


def still_signed_in(services: Services, request: Request, person: Person) -> bool:
    """What the request showed still opens as the same person."""
    # Not `who`: a token that was revoked meanwhile is nobody's guess.
    secret = bearer(request)
    found = services.sessions.who(session(request) or "") if secret is None else services.tokens.who(secret)
    return found == person


def _sees(person: Person) -> str | None:
    return None if person.is_admin else person.id


def _yes(request: Request, name: str) -> bool:
    return request.query_params.get(name, "true").lower() not in ("false", "0", "no")


def place(request: Request, name: str) -> int | None:
    """Where a reader is; None when it does not say. Raises BadRequest.

    What a browser sends by itself when it comes back tells more than the address it first asked.
    """
    asked, back = request.query_params.get(name), request.headers.get("last-event-id")
    found = [cursor(text, name) for text in (asked, back) if text]
    return found[-1] if found else None


def follows(request: Request) -> bool:
    """Whether the reader waits for more. Raises BadRequest for what is no yes and no no."""
    said = request.query_params.get("follow", "true").lower()
    if said not in ("true", "1", "yes", "false", "0", "no"):
        raise BadRequest("The field 'follow' is not valid.", hint="It is true or false.", details={"field": "follow"})
    return said in ("true", "1", "yes")


def cursor(text: str | None, name: str = "after") -> int:
    """A cursor as it was sent. Raises BadRequest for one that is none."""
    if text is None or text == "":
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise BadRequest(
            f"{text[:40]!r} is not a cursor.", hint="Send the `id` of the last event you have, a number.", details={"field": name}
        )
    return int(text)


def _log_frame(chunk: Chunk) -> bytes:
    data = {"offset": chunk.offset, "nextOffset": chunk.next_offset, "text": chunk.text, "truncated": chunk.truncated}
    return f"id: {chunk.next_offset}\nevent: log.chunk\ndata: {json.dumps(data)}\n\n".encode()
