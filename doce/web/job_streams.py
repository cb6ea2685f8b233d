"""Server-sent events of jobs: one job with its log, and the changes of all jobs a person may see."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import TracebackType
from typing import Any, Self

from starlette.requests import Request
from starlette.responses import Response

from doce.actions.jobs import JobLine, JobView, view, visible
from doce.actions.services import Services
from doce.auth import policy
from doce.auth.users import Person
from doce.errors import BadRequest, DoceError, NotFound
from doce.events import log
from doce.events.log import Event
from doce.queue import jobs
from doce.web.requests import who
from doce.web.sse import CHECK_S, CONNECTED, KEEP_ALIVE, Stream, cursor, follows, place, still_signed_in

#: How often a stream looks by itself, seconds: another process may have written.
LOOK_S = 1.0
#: Least time between two looks, seconds, and for each open stream: in a flood of events each look finds more.
REST_S, REST_EACH_S, MAX_REST_S = 0.05, 0.005, 1.0
LINES = 500
#: Events looked through at once for changes of jobs.
STRETCH = 10_000


class Rung:
    """The bell of the event log as something an event loop can wait for. Use as a context manager."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def _ring(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closing
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self, seconds: float) -> None:
        """Until it rings, also if it rang since the last wait, or `seconds` are over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        self._event.clear()

    def __enter__(self) -> Self:
        self._unlisten = log.bell.listen(self._ring)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._unlisten()


class JobStreams:
    """The streaming endpoints of the queue."""

    def __init__(self, services: Services, do: Callable[..., Awaitable[Any]]) -> None:
        self._services = services
        self._do = do
        self._open = 0

    async def one(self, request: Request) -> Response:
        """GET /api/jobs/{job}/stream: what a job is (`job`) and writes (`job.line`), until it has ended."""
        job_id = _number(request.path_params["job"])
        person = await self._person(request)
        await self._do(visible, self._services, person, job_id)
        after, follow = _asked(request)
        return self._stream(self._one(request, person, job_id, after or 0, follow))

    async def everything(self, request: Request) -> Response:
        """GET /api/jobs/stream: changes of jobs (`job.state`), of everybody's for an admin. Without a cursor from now on."""
        person = await self._person(request)
        after, follow = _asked(request)
        return self._stream(self._everything(request, person, after, follow))

    def _stream(self, chunks: AsyncIterator[bytes]) -> Stream:
        return Stream(chunks, slow_s=self._services.settings.slow_viewer_s)

    async def _person(self, request: Request) -> Person:
        person = await self._do(who, self._services, request)
        signed_in: Person = await self._do(policy.signed_in, self._services.users, person)
        return signed_in

    async def _one(self, request: Request, person: Person, job_id: int, after: int, follow: bool) -> AsyncIterator[bytes]:
        told: JobView | None = None

        async def look() -> tuple[bytes, bool]:
            nonlocal told, after
            try:
                # The job first: when it has ended, every line it wrote is there.
                job, lines = await self._do(_job_and_lines, self._services, person, job_id, after)
            except DoceError:
                return b"", True  # deleted, or no longer this person's
            frames = [_frame("job", after, job.model_dump_json(by_alias=True))] if job != told else []
            told = job
            frames += [_frame("job.line", line.id, line.model_dump_json(by_alias=True)) for line in lines]
            after = lines[-1].id if lines else after
            return b"".join(frames), len(lines) < LINES and (job.state.terminal or not follow)

        async for chunk in self._told(request, person, look):
            yield chunk

    async def _everything(self, request: Request, person: Person, after: int | None, follow: bool) -> AsyncIterator[bytes]:
        head = await self._do(log.head)
        seen = head if after is None or after > head else after
        mine: dict[int, bool] = {}
        beginning = [_frame("jobs.head", seen, json.dumps({"seq": seen}))] if seen == head else []

        async def look() -> tuple[bytes, bool]:
            nonlocal seen
            frames = [beginning.pop()] if beginning else []
            events, reached, head = await self._do(_changes, self._services, person, seen, mine)
            seen = reached
            frames += [_frame("job.state", event.seq, event.json()) for event in events]
            return b"".join(frames), not follow and seen >= head

        async for chunk in self._told(request, person, look):
            yield chunk

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    async def _told(self, request: Request, person: Person, look: Callable[[], Awaitable[tuple[bytes, bool]]]) -> AsyncIterator[bytes]:
        """What `look` finds, again whenever something was written, until it says that it is over."""
        yield CONNECTED
        loop = asyncio.get_running_loop()
        checked = quiet_at = loop.time()
        keep_alive = self._services.settings.keepalive_s
        with Rung() as rung, self._counted():
            while not self._services.feed.closed:
                chunk, over = await look()
                if chunk:
                    quiet_at = loop.time()
                    yield chunk
                if over:
                    return
                await asyncio.sleep(min(REST_S + self._open * REST_EACH_S, MAX_REST_S))
                await rung.wait(min(LOOK_S, keep_alive))
                if loop.time() - checked >= CHECK_S:
                    checked = loop.time()
                    if not await self._do(still_signed_in, self._services, request, person):
                        return
                if loop.time() - quiet_at >= keep_alive:
                    quiet_at = loop.time()
                    yield KEEP_ALIVE


def _job_and_lines(services: Services, person: Person, job_id: int, after: int) -> tuple[JobView, list[JobLine]]:
    job = view(visible(services, person, job_id))
    lines = jobs.logs(job_id, after, LINES)
    return job, [JobLine(id=line.id, level=line.level, message=line.message, at=line.at) for line in lines]


def _changes(services: Services, person: Person, after: int, mine: dict[int, bool]) -> tuple[list[Event], int, int]:
    """(changes this person may see, up to where was looked, the head of the log)"""
    head = log.head()
    reached = min(head, after + STRETCH)
    found = log.job_states(after, reached)
    if not person.is_admin and found:
        own = services.projects.ids_of(person.id)
        found = [event for event in found if event.project_id in own or _is_mine(person, event, mine)]
    return found, reached, head


def _is_mine(person: Person, event: Event, mine: dict[int, bool]) -> bool:
    """A job of no project, or of one that is gone, that this person caused."""
    job_id = int(event.payload["jobId"])
    if job_id not in mine:
        try:
            mine[job_id] = jobs.get(job_id).user_id == person.id
        except NotFound:
            mine[job_id] = False
    return mine[job_id]


def _number(text: str) -> int:
    return cursor(text, "job") if text else 0


def _asked(request: Request) -> tuple[int | None, bool]:
    """(cursor, whether to wait for more)"""
    if unknown := sorted(set(request.query_params) - {"after", "follow"}):
        raise BadRequest(f"This stream knows no {unknown[0][:40]!r}.", hint="It knows after and follow.")
    return place(request, "after"), follows(request)


def _frame(event: str, number: int, data: str) -> bytes:
    return f"id: {number}\nevent: {event}\ndata: {data}\n\n".encode()
