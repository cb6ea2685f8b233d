from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from doce.client import Doce
from doce.db.connection import database
from doce.events import log
from doce.queue import jobs, model
from doce.queue.context import write_log
from doce.queue.types import JobState

from .house import House, Raw
from .test_routes import refused

pytestmark = pytest.mark.slow


class Queue:
    """A job of ada's, and who looks at it."""

    def __init__(self, house: House) -> None:
        self.house = house
        _, self.admin = house.person("root", "admin")
        self.ada, self.headers = house.person("ada")
        _, self.eve = house.person("eve")
        self.project = house.services.projects.create(self.ada.id, "a site about tea")
        self.job = jobs.active(self.project.id)[0].id

    def write(self, *lines: str) -> None:
        for line in lines:
            write_log(self.job, line, level="info", at=self.house.clock.now_ms())

    def move(self, state: JobState) -> None:
        with database.atomic():
            assert model.move(self.job, jobs.get(self.job).state, state, now=self.house.clock.now_ms())

    def follow(self, path: str, headers: dict[str, str] | None = None) -> Raw:
        raw = self.house.connect(path, headers or self.headers)
        head = raw.until(b"\r\n\r\n")
        assert b" 200 " in head
        assert b"text/event-stream" in head
        raw.until(b": connected\n\n")
        return raw


@pytest.fixture
def queue(house: House) -> Queue:
    return Queue(house)


def told(text: bytes | str) -> list[tuple[int, str, dict[str, Any]]]:
    """(id, event, data) of each frame."""
    found = []
    for block in (text if isinstance(text, str) else text.decode()).split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and not line.startswith(":"))
        if "data" in fields:
            found.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return found


def test_a_job_is_followed_to_its_end(queue: Queue) -> None:
    queue.write("copying")
    raw = queue.follow(f"/api/jobs/{queue.job}/stream")
    first = raw.until(b'"copying"') + raw.until(b"\n\n")
    assert [(name, data.get("state"), data.get("message")) for _, name, data in told(first)] == [
        ("job", "queued", None), ("job.line", None, "copying"),
    ]  # fmt: skip
    queue.move(JobState.RUNNING)
    assert told(raw.until(b"\n\n"))[0][2]["state"] == "running"
    queue.write("made", "done")
    queue.move(JobState.SUCCEEDED)
    rest = told(raw.rest())
    assert [data["message"] for _, name, data in rest if name == "job.line"] == ["made", "done"]
    assert [data["state"] for _, name, data in rest if name == "job"][-1] == "succeeded"


def test_a_reader_that_comes_back_gets_each_line_once(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    from doce.web import job_streams

    monkeypatch.setattr(job_streams, "LINES", 7)
    queue.write(*(f"line {number}" for number in range(50)))
    url = f"/api/jobs/{queue.job}/stream?follow=false"
    seen: list[str] = []
    whole = told(queue.house.http.get(url, headers=queue.headers).text)
    for cut in (3, 20, 51):
        # a connection that broke after some frames, and one that goes on from its last id
        last = whole[cut][0] if cut < len(whole) else whole[-1][0]
        seen = [data["message"] for place, name, data in whole if name == "job.line" and place <= last]
        again = told(queue.house.http.get(url, headers={**queue.headers, "last-event-id": str(last)}).text)
        assert again[0][1] == "job", "what it is now comes first"
        seen += [data["message"] for _, name, data in again if name == "job.line"]
        assert seen == [f"line {number}" for number in range(50)]


def test_a_quiet_job_is_kept_alive_and_ends_with_its_deletion(queue: Queue) -> None:
    raw = queue.follow(f"/api/jobs/{queue.job}/stream")
    raw.until(b": keep-alive\n\n")
    queue.move(JobState.CANCELLED)
    assert told(raw.rest())[-1][2]["state"] == "cancelled"
    jobs.delete(queue.job)
    refused(queue.house.http.get(f"/api/jobs/{queue.job}/stream", headers=queue.headers), 404)


def test_who_may_follow_a_job(queue: Queue) -> None:
    url = f"/api/jobs/{queue.job}/stream"
    refused(queue.house.http.get(url), 401)
    refused(queue.house.http.get(url, headers=queue.eve), 403)
    refused(queue.house.http.get("/api/jobs/999999/stream", headers=queue.headers), 404)
    refused(queue.house.http.get("/api/jobs/x/stream", headers=queue.headers), 400)
    refused(queue.house.http.get(f"{url}?since=1", headers=queue.headers), 400)
    refused(queue.house.http.get(f"{url}?after=x", headers=queue.headers), 400)
    assert queue.house.http.get(f"{url}?follow=false", headers=queue.admin).status_code == 200


def test_a_revoked_token_ends_the_stream(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    from doce.web import job_streams

    monkeypatch.setattr(job_streams, "CHECK_S", 0)
    raw = queue.follow(f"/api/jobs/{queue.job}/stream")
    for token in queue.house.services.tokens.list(queue.ada.id):
        queue.house.services.tokens.revoke(queue.ada.id, token.id)
    raw.rest()


def test_all_jobs_an_admin_sees_all_and_a_member_their_own(queue: Queue) -> None:
    house = queue.house
    admins = queue.follow("/api/jobs/stream", queue.admin)
    adas = queue.follow("/api/jobs/stream")
    eves = queue.follow("/api/jobs/stream", queue.eve)
    for raw in (admins, adas, eves):
        place, name, data = told(raw.until(b"\n\n"))[0]
        assert (name, data) == ("jobs.head", {"seq": place})
    queue.move(JobState.RUNNING)
    hers = house.services.projects.delete_all(queue.ada.id).job
    eve_job = house.http.delete("/api/projects", headers=queue.eve).json()["message"]
    assert told(eves.until(b"\n\n"))[0][2]["payload"]["jobId"] not in (queue.job, hers.id)
    assert "job" in eve_job

    def ids(raw: Raw, count: int) -> list[int]:
        found: list[int] = []
        while len(found) < count:
            found += [data["payload"]["jobId"] for _, _, data in told(raw.until(b"\n\n"))]
        return found

    assert ids(adas, 1) == [queue.job]
    assert len(set(ids(admins, 3))) == 3


def test_all_jobs_go_on_where_a_reader_was(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    from doce.web import job_streams

    monkeypatch.setattr(job_streams, "STRETCH", 5)
    begin = log.head()
    for _ in range(20):
        jobs.run_now(queue.job, clock=queue.house.clock)
        queue.house.services.projects.create(queue.ada.id, "another")

    def read(after: int, **headers: str) -> httpx.Response:
        return queue.house.http.get(f"/api/jobs/stream?after={after}&follow=false", headers={**queue.headers, **headers})

    whole = [place for place, name, _ in told(read(begin).text) if name == "job.state"]
    assert len(whole) == len(set(whole)) == 20
    assert whole == sorted(whole)
    assert [place for place, _, _ in told(read(0, **{"last-event-id": str(whole[9])}).text)] == whole[10:]
    assert told(read(2**40).text)[0][1] == "jobs.head", "a cursor beyond the log: from now on"


def test_the_client_follows_a_job_to_its_end(queue: Queue) -> None:
    queue.write("copying", "made")
    with Doce(f"http://127.0.0.1:{queue.house.port}", token=queue.headers["authorization"].removeprefix("Bearer ")) as doce:
        news = doce.follow_job(queue.job)
        first = [next(news) for _ in range(3)]
        assert first[0].job
        assert first[0].job["state"] == "queued"
        assert [one.line["message"] for one in first[1:] if one.line] == ["copying", "made"]
        queue.move(JobState.CANCELLED)
        rest = list(news)
        assert [one.job["state"] for one in rest if one.job] == ["cancelled"]
        assert [one.line["message"] for one in doce.follow_job(queue.job, after=1) if one.line] == ["made"]
