from __future__ import annotations

import asyncio
import json
import threading

import httpx
import pytest

from doce.events import log
from doce.events.vocabulary import SessionStatus
from doce.projects.status import ProjectStatus
from doce.stacks.logs import LogFile
from doce.web import sse

from .house import House, Loop, Raw, frames, piece

pytestmark = pytest.mark.slow


class Stage:
    """A project of an admin, and its stream."""

    def __init__(self, house: House) -> None:
        self.house = house
        owner, self.headers = house.person("root", "admin")
        self.project = house.services.projects.create(owner.id, "a site about tea")
        self.path = f"/api/projects/{self.project.id}/opencode/event"
        self.head = log.head()

    def put(self, count: int, text: str = "word ") -> None:
        """`count` more events, durable when this returns."""
        writer = self.house.writer
        first = log.head()
        writer.wait(writer.put([piece(first + number, self.project.id, text) for number in range(count)]))

    def read(self, query: str = "", **headers: str) -> httpx.Response:
        """What there is now."""
        mark = "&" if query else ""
        return self.house.http.get(f"{self.path}?{query}{mark}follow=false", headers={**self.headers, **headers})

    def follow(self, after: int | None = None, **options: int) -> Raw:
        """An open stream whose headers have arrived."""
        raw = self.house.connect(f"{self.path}?after={self.head if after is None else after}", self.headers, **options)  # type: ignore[arg-type]
        assert b" 200 " in raw.until(b"\r\n\r\n")
        raw.until(b": connected\n\n")
        return raw

    @property
    def readers(self) -> int:
        return self.house.services.feed.readers

    def tasks(self) -> int:
        return self.house.call(lambda: len(asyncio.all_tasks()))


@pytest.fixture
def stage(house: House) -> Stage:
    return Stage(house)


def seqs(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["x-request-id"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    return [one["seq"] for one in frames(answer.content)]


def test_a_stream_is_the_log_and_resumes_at_any_cursor(stage: Stage) -> None:
    stage.put(7)
    everything = stage.read()
    assert everything.content == sse.CONNECTED + b"".join(event.frame() for event in log.all_after(stage.project.id))
    all_of_it = seqs(everything)
    assert len(all_of_it) == 3 + 7
    for place, seq in enumerate(all_of_it):
        assert seqs(stage.read(f"after={seq}")) == all_of_it[place + 1 :]
        assert seqs(stage.read(**{"last-event-id": str(seq)})) == all_of_it[place + 1 :]
    # the header is what a browser sends on its own after a cut, so it is the newer of the two
    assert seqs(stage.read("after=0", **{"last-event-id": str(all_of_it[-2])})) == all_of_it[-1:]
    assert seqs(stage.read("after=")) == all_of_it
    first = frames(everything.content)[0]
    assert {"seq", "type", "projectId", "time", "payload"} <= set(first)
    assert first["projectId"] == stage.project.id


def test_only_this_projects_events(stage: Stage) -> None:
    other = stage.house.services.projects.create(stage.project.owner_user_id, "another site")
    stage.put(2)
    log.append(SessionStatus(status="busy"), project_id=other.id)
    assert {one["projectId"] for one in frames(stage.read().content)} == {stage.project.id}
    assert seqs(stage.read(f"after={log.head()}")) == []


def test_a_bad_cursor_is_refused(stage: Stage) -> None:
    for bad in ("x", "-1", "1.5", "1e3", "9" * 19, "٣", "0x10", "%00"):
        answer = stage.read(f"after={bad}")
        assert answer.status_code == 400, bad
        assert answer.json()["error"]["details"] == {"field": "after"}
        assert "cursor" in answer.json()["error"]["message"]


def test_a_cursor_beyond_the_head_starts_over(stage: Stage) -> None:
    assert seqs(stage.read(f"after={log.head() + 1}")) == seqs(stage.read())
    assert seqs(stage.read("after=" + "9" * 18)) == seqs(stage.read())


def test_headers_at_once_then_keep_alive_then_the_event(stage: Stage) -> None:
    raw = stage.follow()
    raw.until(sse.KEEP_ALIVE)
    raw.until(sse.KEEP_ALIVE)
    stage.put(1, "hello")
    (event,) = frames(raw.until(b"hello") + raw.until(b"\n\n"))
    assert event["payload"]["deltaText"] == "hello"


def test_head_asks_for_no_stream(stage: Stage) -> None:
    answer = stage.house.http.head(stage.path, headers=stage.headers)
    assert (answer.status_code, answer.content) == (200, b"")
    assert stage.readers == 0


def test_far_behind_and_live_at_once(stage: Stage) -> None:
    """A backlog longer than the ring, with more arriving meanwhile: no gap, no double."""
    stage.put(5000)
    with stage.house.http.stream("GET", f"{stage.path}?after={stage.head}", headers=stage.headers) as answer:
        found: list[int] = []
        more = threading.Thread(target=stage.put, args=(500,))
        more.start()
        for line in answer.iter_lines():
            if line.startswith("id: "):
                found.append(int(line[4:]))
            if len(found) == 5500:
                break
        more.join()
    assert found == list(range(stage.head + 1, stage.head + 5501))


class Watcher(asyncio.Protocol):
    """A viewer that only keeps what it gets."""

    def __init__(self, request: bytes, last: bytes) -> None:
        self.data = bytearray()
        self.connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._last = last

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.data += data
        if not self.connected.done() and sse.CONNECTED in self.data:
            self.connected.set_result(None)
        if not self.done.done() and self._last in self.data[-len(data) - 200 :]:
            self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        for waiter in (self.connected, self.done, self.gone):
            if not waiter.done():
                waiter.set_result(None)


def events_of(data: bytes) -> bytes:
    """The frames without the chunked encoding and the comments."""
    body = data.partition(b"\r\n\r\n")[2]
    whole = bytearray()
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        if length > len(rest) or not length:
            break
        whole += rest[:length]
        body = rest[length + 2 :]
    return bytes(whole).replace(sse.CONNECTED, b"").replace(sse.KEEP_ALIVE, b"")


def test_500_viewers_get_the_same_bytes_and_leave_nothing(stage: Stage) -> None:
    house, viewers = stage.house, Loop()
    tasks = stage.tasks()
    request = f"GET {stage.path}?after={stage.head} HTTP/1.1\r\nhost: localhost\r\nauthorization: {stage.headers['authorization']}\r\n\r\n"

    async def come() -> list[Watcher]:
        loop = asyncio.get_running_loop()
        last = f"id: {stage.head + 200}\n".encode()
        pairs = [await loop.create_connection(lambda: Watcher(request.encode(), last), "127.0.0.1", house.port) for _ in range(500)]
        watchers = [watcher for _, watcher in pairs]
        await asyncio.gather(*(watcher.connected for watcher in watchers))
        return watchers

    async def finish(watchers: list[Watcher]) -> None:
        await asyncio.gather(*(watcher.done for watcher in watchers))
        # the last frame's end may come in another piece
        for watcher in watchers:
            watcher.transport.abort()
        await asyncio.gather(*(watcher.gone for watcher in watchers))

    watchers: list[Watcher] = viewers.run(come())
    house.until(lambda: stage.readers == 500)
    for _ in range(20):
        stage.put(10)
    viewers.run(finish(watchers))
    house.until(lambda: stage.readers == 0, seconds=1)
    viewers.close()
    wanted = b"".join(event.frame() for event in log.all_after(stage.project.id, stage.head))
    assert {events_of(bytes(watcher.data))[: len(wanted) - 2000] for watcher in watchers} == {wanted[: len(wanted) - 2000]}
    house.until(lambda: len(asyncio.all_tasks()) <= tasks + 1, seconds=1)


def test_a_viewer_that_never_reads_is_cut_off_while_others_flow(stage: Stage) -> None:
    stuck = stage.follow(buffer=4096)
    reading = stage.follow()
    stage.house.until(lambda: stage.readers == 2)
    total = 0
    received = bytearray()
    # More than every buffer between the two can hold.
    for _ in range(60):
        stage.put(2, "x" * 100_000)
        total += 2
        last = f"id: {stage.head + total}\n".encode()
        received += reading.until(last)
    stage.house.until(lambda: stage.readers == 1)
    assert len(frames(bytes(received) + reading.until(b"\n\n"))) >= total - 1
    got = stuck.rest()
    assert b"0\r\n\r\n" not in got[-7:], "cut, not ended"
    assert len(got) < 60 * 200_000
    stage.put(1, "still here")
    reading.until(b"still here")
    reading.close()
    stage.house.until(lambda: stage.readers == 0, seconds=1)


def test_a_slow_viewer_comes_back_and_misses_nothing(stage: Stage) -> None:
    stuck = stage.follow(buffer=4096)
    stage.put(100, "y" * 100_000)
    stage.house.until(lambda: stage.readers == 0)
    whole = [one["seq"] for one in frames(stuck.rest().rpartition(b"\n\n")[0])]
    last = whole[-1] if whole else stage.head
    assert len(whole) < 100
    assert whole + seqs(stage.read(**{"last-event-id": str(last)})) == list(range(stage.head + 1, stage.head + 101))


def test_a_client_that_goes_frees_everything_within_a_second(stage: Stage) -> None:
    before = stage.tasks()
    for _ in range(3):
        raw = stage.follow()
        stage.house.until(lambda: stage.readers == 1)
        raw.close()
        stage.house.until(lambda: stage.readers == 0, seconds=1)
    stage.house.until(lambda: len(asyncio.all_tasks()) <= before + 1, seconds=1)


def test_a_revoked_token_ends_the_stream(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "CHECK_S", 0.05)
    tokens = stage.house.services.tokens
    raw = stage.follow()
    logs = stage.house.connect(f"/api/projects/{stage.project.id}/logs", stage.headers)
    logs.until(b"log.chunk")
    (token,) = tokens.list(stage.project.owner_user_id)
    tokens.revoke(stage.project.owner_user_id, token.id)
    assert raw.rest().endswith(b"0\r\n\r\n")
    assert logs.rest().endswith(b"0\r\n\r\n")
    assert stage.readers == 0
    # nobody guessed anything
    assert stage.house.http.get("/api/me", headers={"authorization": "Bearer doce_wrong"}).status_code == 401
    for _ in range(3):
        assert stage.house.http.get("/api/me", headers={"authorization": "Bearer doce_wrong"}).status_code == 401


def test_a_deleted_project_ends_the_stream_after_its_last_event(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "CHECK_S", 0.05)
    raw = stage.follow()
    stage.house.store.set_status(stage.project.id, ProjectStatus.DELETING)
    stage.house.store.update(stage.project.id, deleted_at=1)
    rest = raw.rest()
    assert frames(rest)[-1]["payload"]["status"] == "deleting"
    assert rest.endswith(b"0\r\n\r\n")


def test_a_closed_feed_ends_every_stream(stage: Stage) -> None:
    many = [stage.follow() for _ in range(5)]
    logs = stage.house.connect(f"/api/projects/{stage.project.id}/logs", stage.headers)
    logs.until(b"log.chunk")
    stage.house.call(stage.house.services.feed.close)
    for raw in [*many, logs]:
        assert raw.rest().endswith(b"0\r\n\r\n")
    assert stage.readers == 0


def test_a_stream_that_breaks_is_logged_and_cut(stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def breaks(*_: object) -> None:
        raise OSError("disk on fire")

    monkeypatch.setattr(stage.house.services.feed, "subscribe", breaks)
    raw = stage.follow()
    assert not raw.rest().endswith(b"0\r\n\r\n")
    (record,) = [record for record in caplog.records if record.name.startswith("doce.web")]
    assert record.exc_info
    assert "disk on fire" in str(record.exc_info[1])


# The services' log.


def chunks(data: bytes) -> list[dict[str, object]]:
    return [one for one in frames(data) if "nextOffset" in one]


def test_the_log_resumes_by_offset(stage: Stage) -> None:
    file = LogFile(stage.house.services.projects.log_file(stage.project.id))
    file.append("host", "starting 🎈")
    file.append("app", "ready")
    url = f"/api/projects/{stage.project.id}/logs"
    first = stage.house.http.get(f"{url}?follow=false", headers=stage.headers)
    assert first.headers["content-type"] == "text/event-stream; charset=utf-8"
    (chunk,) = chunks(first.content)
    text = "[host] starting 🎈\n[app] ready\n"
    size = len(text.encode())
    assert chunk == {"offset": 0, "nextOffset": size, "text": text, "truncated": False}
    (rest,) = chunks(stage.house.http.get(f"{url}?follow=false&offset=20", headers=stage.headers).content)
    assert rest["text"] == text.encode()[20:].decode()
    assert chunks(stage.house.http.get(f"{url}?follow=false&offset={size}", headers=stage.headers).content) == []
    beyond = chunks(stage.house.http.get(f"{url}?follow=false&offset=999999", headers=stage.headers).content)
    assert beyond[0]["truncated"] is True
    assert stage.house.http.get(f"{url}?offset=-1", headers=stage.headers).json()["error"]["details"] == {"field": "offset"}


def test_a_browser_that_comes_back_to_a_log_goes_on_where_it_was(stage: Stage) -> None:
    log_file = LogFile(stage.house.services.projects.log_file(stage.project.id))
    log_file.append("host", "one")
    url = f"/api/projects/{stage.project.id}/logs?offset=0&follow=false"
    last = [line for line in stage.house.http.get(url, headers=stage.headers).text.splitlines() if line.startswith("id: ")][-1][4:]
    log_file.append("host", "two")
    again = stage.house.http.get(url, headers={**stage.headers, "last-event-id": last}).text
    assert "two" in again
    assert "one" not in again
    assert stage.house.http.get(url, headers={**stage.headers, "last-event-id": "x"}).status_code == 400


def test_the_log_is_pushed_and_kept_alive(stage: Stage) -> None:
    raw = stage.house.connect(f"/api/projects/{stage.project.id}/logs", stage.headers)
    raw.until(b"log.chunk")
    raw.until(sse.KEEP_ALIVE)
    LogFile(stage.house.services.projects.log_file(stage.project.id)).append("app", "hello")
    (chunk,) = chunks(raw.until(b'"truncated": false}\n\n'))
    assert json.dumps(chunk["text"]) == '"[app] hello\\n"'
    raw.close()


def test_many_log_readers_hold_nobody_up(stage: Stage) -> None:
    """They wait in threads of their own: everything else goes on."""
    many = [stage.house.connect(f"/api/projects/{stage.project.id}/logs", stage.headers) for _ in range(20)]
    for raw in many:
        raw.until(b"log.chunk")

    async def others() -> None:
        async with asyncio.timeout(0.3):
            await asyncio.to_thread(int)

    stage.house.loop.run(others())
    for raw in many:
        raw.close()
