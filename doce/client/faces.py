"""`Doce` and `AsyncDoce`: the same calls and streams, without and with ``await``."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar, cast

import httpx
from httpx_sse import EventSource

from doce.client import answers, calls
from doce.client.address import Address, find
from doce.client.calls import Call, Method
from doce.client.reading import Event, EventReading, JobNews, JobReading, LogChunk, LogReading, Patience, Reading
from doce.errors import DoceError

Answer = TypeVar("Answer")
Item = TypeVar("Item")

#: A stream that says nothing for three keep-alives is cut.
STREAM_TIMEOUT = httpx.Timeout(10, read=45)


class _Calls:
    """What both faces can ask."""

    health = Method(calls.health)
    create = Method(calls.create)
    projects = Method(calls.projects)
    project = Method(calls.project)
    chat = Method(calls.chat)
    prompts = Method(calls.prompts)
    changes = Method(calls.changes)
    remove_prompt = Method(calls.remove_prompt)
    stop = Method(calls.stop)
    start = Method(calls.start)
    delete = Method(calls.delete)
    production = Method(calls.production)
    deploy = Method(calls.deploy)
    rollback = Method(calls.rollback)
    undeploy = Method(calls.undeploy)
    answer_permission = Method(calls.answer_permission)
    answer_question = Method(calls.answer_question)
    job = Method(calls.job)
    duplicate = Method(calls.duplicate)
    import_project = Method(calls.import_project)
    files = Method(calls.files)
    file = Method(calls.file)
    assets = Method(calls.assets)
    upload_asset = Method(calls.upload_asset)
    rename_asset = Method(calls.rename_asset)
    delete_asset = Method(calls.delete_asset)
    happened = Method(calls.happened)
    usage = Method(calls.usage)
    jobs = Method(calls.jobs)
    job_lines = Method(calls.job_lines)
    models = Method(calls.models)
    settings = Method(calls.settings)
    change_settings = Method(calls.change_settings)
    providers = Method(calls.providers)
    set_provider = Method(calls.set_provider)
    test_provider = Method(calls.test_provider)
    remove_provider = Method(calls.remove_provider)

    def __init__(self, url: str | None = None, *, token: str | None = None, address: Address | None = None, timeout_s: float = 30) -> None:
        """Talk to the doce at `url` as the owner of `token`; by default the one `find` finds. Nothing is sent yet."""
        self.address = address or find(url, token)
        self._options: dict[str, Any] = {
            "base_url": self.address.url,
            "timeout": timeout_s,
            "headers": {"Authorization": f"Bearer {self.address.token.get_secret_value()}"} if self.address.token else {},
            # A machine's proxy settings are not for talking to itself, and certificates cost start time where there are none.
            "trust_env": not self.address.local,
            "verify": self.address.url.startswith("https:"),
        }

    @staticmethod
    def _request(call: Call[Any]) -> dict[str, Any]:
        body = None if call.body is None else {name: value for name, value in call.body.items() if value is not None or call.nulls}
        query = {name: value for name, value in call.query.items() if value is not None}
        # One key for all tries of a call: doce answers the second as the first, should only the answer have been lost.
        headers = {KEY: str(uuid.uuid4())} if call.repeatable else {}
        return {"method": call.method, "url": call.path, "params": query, "json": body, "headers": headers}


KEY = "Idempotency-Key"
#: Tries of a call that may be repeated, and the pause between them, seconds.
TRIES, PAUSE_S = 3, 0.5
PIECE = 256 * 1024
_FAILURES = (httpx.HTTPError, httpx.InvalidURL)


def _may_have_come(error: httpx.HTTPError | httpx.InvalidURL) -> bool:
    """The request may have reached doce, only the answer did not come. (One that cannot connect is told at once.)"""
    return isinstance(error, httpx.ReadError | httpx.WriteError | httpx.RemoteProtocolError | httpx.ReadTimeout)


async def _read(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while piece := await asyncio.to_thread(file.read, PIECE):
            yield piece


class Doce(_Calls):
    """A doce. Use as a context manager, or `close` it."""

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        address: Address | None = None,
        timeout_s: float = 30,
        pause: Callable[[float], None] = time.sleep,
        patience: Callable[[], Patience] = Patience,
    ) -> None:
        super().__init__(url, token=token, address=address, timeout_s=timeout_s)
        self._http = httpx.Client(**self._options)
        self._pause, self._patience = pause, patience

    def send(self, call: Call[Answer]) -> Answer:
        """The answer to `call`. Raises the DoceError that doce raised, or Unavailable when it does not answer.

        A call that doce does once however often it is asked is asked again when the connection broke.
        """
        request, lost = self._request(call), False
        for left in reversed(range(TRIES if call.repeatable else 1)):
            try:
                with call.file.open("rb") if call.file else contextlib.nullcontext() as file:
                    response = self._http.request(**request, content=file and iter(partial(file.read, PIECE), b""))
                return cast(Answer, answers.value(response, self.address))
            except _FAILURES as error:
                lost = lost or _may_have_come(error)
                if not (left and lost):
                    raise answers.silence(error, self.address) from error
            self._pause(PAUSE_S)
        raise AssertionError("unreachable")

    def download(self, call: Call[bytes], to: IO[bytes]) -> int:
        """Write the file that answers `call` to `to`, as it comes; returns its bytes. Raises as `send`."""
        count = 0
        try:
            with self._http.stream(**self._request(call)) as response:
                if response.status_code >= 300:
                    response.read()
                    answers.value(response, self.address)
                for piece in response.iter_bytes():
                    count += to.write(piece)
        except _FAILURES as error:
            raise answers.silence(error, self.address) from error
        return count

    def request(self, method: str, path: str, *, query: dict[str, Any] | None = None, body: dict[str, Any] | None = None) -> Any:
        """The JSON answer of any address of the API."""
        return self.send(Call[Any](method, path, query or {}, body))

    def events(self, project: str, after: int | None = None, follow: bool = True) -> Generator[Event]:
        """Events of a project after seq `after` (None: all), each once and in order, also across cuts of the connection.

        With `follow` it waits for more, until the project is deleted or doce is away for a minute (Unavailable).
        """
        return self._follow(EventReading(project, after or 0, follow))

    def logs(self, project: str, offset: int | None = None, follow: bool = True) -> Generator[LogChunk]:
        """The project's log from byte `offset` (None: its last 64,000 bytes)."""
        return self._follow(LogReading(project, offset, follow))

    def follow_job(self, job: int, after: int = 0, follow: bool = True) -> Generator[JobNews]:
        """What a job is and writes after line `after`, each line once, to its end."""
        return self._follow(JobReading(job, after, follow))

    def _follow(self, reading: Reading[Item]) -> Generator[Item]:
        patience = self._patience()
        while True:
            cut: DoceError | None = None
            try:
                with self._stream(reading) as source:
                    reading.connected()
                    patience.connected()
                    for sse in source.iter_sse():
                        if (item := reading.take(sse)) is not None:
                            patience.worked()
                            yield item
                        if reading.ended:
                            return
            except DoceError as error:
                cut = error
            except _FAILURES as error:
                cut = answers.silence(error, self.address)
            if cut is None and not reading.follow:
                return
            self._pause(patience.failed(cut))

    @contextlib.contextmanager
    def _stream(self, reading: Reading[Any]) -> Iterator[EventSource]:
        headers = reading.headers() | {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        with self._http.stream("GET", reading.path, params=reading.query(), headers=headers, timeout=STREAM_TIMEOUT) as response:
            if not answers.streams(response):
                response.read()
                raise answers.no_stream(response, self.address)
            yield EventSource(response)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class AsyncDoce(_Calls):
    """A doce, for code with an event loop. Use as an async context manager, or `close` it."""

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        address: Address | None = None,
        timeout_s: float = 30,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        patience: Callable[[], Patience] = Patience,
    ) -> None:
        super().__init__(url, token=token, address=address, timeout_s=timeout_s)
        self._http = httpx.AsyncClient(**self._options)
        self._pause, self._patience = pause, patience

    async def send(self, call: Call[Answer]) -> Answer:
        """As `Doce.send`."""
        request, lost = self._request(call), False
        for left in reversed(range(TRIES if call.repeatable else 1)):
            try:
                response = await self._http.request(**request, content=_read(call.file) if call.file else None)
                return cast(Answer, answers.value(response, self.address))
            except _FAILURES as error:
                lost = lost or _may_have_come(error)
                if not (left and lost):
                    raise answers.silence(error, self.address) from error
            await self._pause(PAUSE_S)
        raise AssertionError("unreachable")

    async def download(self, call: Call[bytes], to: IO[bytes]) -> int:
        """As `Doce.download`."""
        count = 0
        try:
            async with self._http.stream(**self._request(call)) as response:
                if response.status_code >= 300:
                    await response.aread()
                    answers.value(response, self.address)
                async for piece in response.aiter_bytes():
                    count += await asyncio.to_thread(to.write, piece)
        except _FAILURES as error:
            raise answers.silence(error, self.address) from error
        return count

    async def request(self, method: str, path: str, *, query: dict[str, Any] | None = None, body: dict[str, Any] | None = None) -> Any:
        """The JSON answer of any address of the API."""
        return await self.send(Call[Any](method, path, query or {}, body))

    def events(self, project: str, after: int | None = None, follow: bool = True) -> AsyncGenerator[Event]:
        """As `Doce.events`."""
        return self._follow(EventReading(project, after or 0, follow))

    def logs(self, project: str, offset: int | None = None, follow: bool = True) -> AsyncGenerator[LogChunk]:
        """As `Doce.logs`."""
        return self._follow(LogReading(project, offset, follow))

    def follow_job(self, job: int, after: int = 0, follow: bool = True) -> AsyncGenerator[JobNews]:
        """As `Doce.follow_job`."""
        return self._follow(JobReading(job, after, follow))

    async def _follow(self, reading: Reading[Item]) -> AsyncGenerator[Item]:
        patience = self._patience()
        while True:
            cut: DoceError | None = None
            try:
                async with self._stream(reading) as source:
                    reading.connected()
                    patience.connected()
                    async for sse in source.aiter_sse():
                        if (item := reading.take(sse)) is not None:
                            patience.worked()
                            yield item
                        if reading.ended:
                            return
            except DoceError as error:
                cut = error
            except _FAILURES as error:
                cut = answers.silence(error, self.address)
            if cut is None and not reading.follow:
                return
            await self._pause(patience.failed(cut))

    @contextlib.asynccontextmanager
    async def _stream(self, reading: Reading[Any]) -> AsyncIterator[EventSource]:
        headers = reading.headers() | {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        async with self._http.stream("GET", reading.path, params=reading.query(), headers=headers, timeout=STREAM_TIMEOUT) as response:
            if not answers.streams(response):
                await response.aread()
                raise answers.no_stream(response, self.address)
            yield EventSource(response)

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()
