"""What runs by itself, on a real doce with real agents: sleeping, waking, healing, giving up, full disks, an orderly end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from doce.client.reading import Event
from doce.errors import DoceError

from .house import House, ended_prompt, house, running

pytestmark = pytest.mark.system


def token(home: House) -> dict[str, str]:
    return {"authorization": f"Bearer {json.loads((home.folder / 'cli.json').read_text())['token']}"}


def unwatched(home: House, project: str, holds: Callable[[dict[str, Any]], bool], after: int = 0) -> dict[str, Any]:
    """The first event that `holds`, read by somebody who is no viewer."""
    url = f"http://127.0.0.1:{home.port}/api/projects/{project}/opencode/event?watch=false&after={after}"
    with httpx.stream("GET", url, headers=token(home), timeout=60, trust_env=False) as stream:
        for line in stream.iter_lines():
            if line.startswith("data: ") and holds(event := json.loads(line[6:])):
                return event
    raise AssertionError("the stream ended")


def in_error(event: Event) -> bool:
    return event.type == "project.status" and event.payload["status"] == "error"


def starting_again(event: Event) -> bool:
    return event.type == "project.status" and "again" in (event.payload.get("step") or "")


def healed(event: Event) -> bool:
    return event.type == "project.status" and event.payload.get("step") is None


def status_is(status: str) -> Callable[[dict[str, Any]], bool]:
    return lambda event: event["type"] == "project.status" and event["payload"]["status"] == status


def touch(home: House, project: str) -> dict[str, Any]:
    url = f"http://127.0.0.1:{home.port}/api/projects/{project}/presence"
    answer = httpx.post(url, headers=token(home), json={"viewerId": "test"}, timeout=20, trust_env=False)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_a_project_sleeps_when_nobody_watches_and_wakes_when_somebody_comes_back(tmp_path: Path, cache: Path) -> None:
    settings = {"DOCE_IDLE_S": "2", "DOCE_REAP_S": "0.5", "DOCE_VIEWER_STALE_S": "2"}
    with house(tmp_path / "data", cache, **settings) as home:
        project, events = home.create("a page about tea")
        seq = unwatched(home, project, status_is("stopped"), after=events[-1].seq)["seq"]
        assert home.agents(project) == []
        # Right after a restart too.
        home.kill()
        home.start()
        told = touch(home, project)
        assert told["viewerCount"] >= 1
        assert not told["opencodeReady"]
        seq = unwatched(home, project, status_is("running"), after=seq)["seq"]
        assert touch(home, project)["previewReady"]
        seq = unwatched(home, project, status_is("stopped"), after=seq)["seq"]
        # A person's stop is another matter.
        home.doce.start(project)
        home.until(project, running, after=seq)
        home.doce.stop(project)
        home.until(project, lambda event: event.type == "project.status" and event.payload["status"] == "stopped", after=seq + 1)
        told = touch(home, project)
        assert (told["status"], home.doce.project(project)["stoppedByUser"]) == ("stopped", True)
        assert "Somebody stopped it" in told["message"]


def test_a_preview_that_dies_comes_back_beside_its_agent_until_it_is_given_up(tmp_path: Path, cache: Path) -> None:
    with house(tmp_path / "data", cache) as home:
        project, events = home.create("a page about coffee")
        agent = home.agents(project)[0].pid
        seq = events[-1].seq
        for death in range(4):
            preview = home.agents(project, "preview")[0]
            preview.kill()
            seq = home.until(project, starting_again, after=seq)[-1].seq
            seq = home.until(project, healed, after=seq)[-1].seq
            assert home.agents(project)[0].pid == agent, f"the agent lives on, death {death}"
        home.agents(project, "preview")[0].kill()
        given_up = home.until(project, in_error, after=seq)
        assert given_up[-1].payload["error"].startswith("The preview ended 5 times within ten minutes.")


def test_an_agent_that_fills_the_disk_is_stopped_and_told(tmp_path: Path, cache: Path) -> None:
    with house(tmp_path / "data", cache, DOCE_PROJECT_DISK="400", DOCE_DISK_S="0.5") as home:
        project, events = home.create("a page about milk")
        home.doce.chat(project, "[[rehearse run: head -c 500000000 /dev/zero > big; exec tail -f /dev/null]]")
        seen = home.until(
            project, lambda event: event.type == "project.status" and event.payload["status"] == "error", after=events[-1].seq
        )
        assert "MiB of disk; 400 is the most" in seen[-1].payload["error"]
        ended = [event for event in home.until(project, ended_prompt, after=events[-1].seq) if ended_prompt(event)]
        assert ended[-1].type == "chat.prompt.interrupted"
        bell = threading.Event()
        for _ in range(100):
            if not home.agents(project):
                break
            bell.wait(0.1)
        assert home.agents(project) == []
        (home.folder / "projects" / project / "workspace" / "big").unlink()
        home.doce.start(project)
        home.until(project, running, after=seen[-1].seq)


@pytest.mark.nightly
def test_sigterm_ends_open_streams_and_the_process_within_ten_seconds(tmp_path: Path, cache: Path) -> None:
    with house(tmp_path / "data", cache) as home:
        project, _ = home.create("a page about salt")
        base = f"http://127.0.0.1:{home.port}/api/projects/{project}"
        opened, ended = threading.Barrier(5), []

        def read(path: str) -> None:
            with httpx.stream("GET", base + path, headers=token(home), timeout=60, trust_env=False) as stream:
                pieces = stream.iter_raw()
                next(pieces)
                opened.wait(20)
                with contextlib.suppress(httpx.HTTPError):
                    for _ in pieces:
                        pass
                ended.append(path)

        paths = ["/opencode/event", "/opencode/event", "/logs", "/logs?offset=0"]
        readers = [threading.Thread(target=read, args=(path,)) for path in paths]
        for reader in readers:
            reader.start()
        opened.wait(20)
        assert home.stop() < 10
        for reader in readers:
            reader.join(5)
        assert sorted(ended) == sorted(paths)
        assert home.process is not None
        assert home.process.returncode == 0
        # What runs goes on for the next doce.
        home.start()
        assert home.doce.project(project)["status"] == "running"


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 96 MiB of its own."""
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: only root can mount the small disk that this test fills")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(folder)], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"NOT TESTED: no small disk can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_with_the_disk_really_full_doce_refuses_clearly_and_goes_on_when_there_is_space(tiny_disk: Path, cache: Path) -> None:
    with house(tiny_disk / "data", cache, DOCE_MIN_FREE_MB="0", DOCE_WORKERS="0") as home:
        kept = home.doce.create("a page about rice")
        ballast = tiny_disk / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            for size in (1 << 20, 4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(b"x" * size)
        with pytest.raises(DoceError) as refused:
            for number in range(2000):
                home.doce.create(f"one page more, number {number}, until not even the log of the database has room")
        assert refused.value.code == "UNAVAILABLE"
        assert "disk" in str(refused.value).lower()
        assert home.doce.project(kept["id"])["status"] == "created", "reading goes on"
        ballast.unlink()
        assert home.doce.create("a page about beans")["status"] == "created"
        home._end(signal.SIGTERM)
        assert home.process is not None
        assert home.process.returncode == 0
