"""A provider's key opens the provider for the agent's turn, and is in clear nowhere: not with the agent, not on disk, in no answer."""

from __future__ import annotations

import contextlib
import io
import json
import threading
import zipfile
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from doce.client import calls
from doce.docker.compose import container_name
from doce.docker.engine import Engine
from doce.llm import rehearsal

from .conftest import docked
from .house import House, house
from .test_docker import shell

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]
KEY = "sk-proj-0A1b2C3d4E5f6G7h8I9j-KEYKEYKEY"


class Provider(BaseHTTPRequestHandler):
    """An OpenAI-compatible provider that takes one key and plays the rehearsal."""

    def do_GET(self) -> None:
        self._answer(200 if self._opens() else 401, json.dumps({"data": [{"id": "builder"}]}).encode(), "application/json")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if not self._opens():
            self._answer(401, b"{}", "application/json")
            return
        asked: dict[str, Any] = {**body, "model": "rehearsal/site-builder"}
        if not body.get("stream"):
            self._answer(200, json.dumps(rehearsal.complete(asked)).encode(), "application/json")
            return
        chunks = [dict(piece.chunk) for piece in rehearsal.reply(asked, attempt=0).pieces if piece.chunk is not None]
        said = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
        self._answer(200, said.encode(), "text/event-stream")

    def _opens(self) -> bool:
        return self.headers.get("authorization") == f"Bearer {KEY}"

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def provider() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(params=[pytest.param("process", marks=pytest.mark.nightly), "docker"])
def home(request: pytest.FixtureRequest, tmp_path: Path, cache: Path) -> Iterator[House]:
    """A doce of each runtime, with an agent of the real kind."""
    if request.param == "docker":
        request.getfixturevalue("images")
    made = docked(tmp_path / "data", cache) if request.param == "docker" else house(tmp_path / "data", cache, DOCE_RUNTIME="process")
    with made as found:
        yield found


def test_the_key_is_nowhere_in_clear(tmp_path: Path, home: House, provider: str) -> None:
    doce = home.doce
    answers: list[Any] = [doce.set_provider("mine", KEY, base_url=provider)]
    assert answers[0]["models"] == 1
    project, events = home.create("a site about tea", model="mine/builder")
    assert events[-1].type == "chat.prompt.completed"
    docker = home.environment["DOCE_RUNTIME"] == "docker"
    assert KEY not in shell(home, project, "env; cat /proc/*/environ /proc/*/cmdline" if docker else "env")
    spent = doce.request("GET", f"/api/projects/{project}/usage")
    assert spent["models"][0]["of"] == "mine/builder"
    assert spent["total"]["input"] > 0
    assert any(event.type == "chat.usage" for event in events)

    (look_into_containers if docker else look_at_processes)(home, project)
    answers += [doce.settings(), doce.providers(), doce.models(), doce.happened(project, limit=1000), doce.jobs()]
    answers += [
        doce.test_provider("mine"),
        doce.request("GET", f"/api/projects/{project}/logs/tail"),
        [event.envelope() for event in events],
    ]
    assert KEY not in json.dumps(answers)
    packed = io.BytesIO()
    doce.download(calls.export(project), packed)
    with zipfile.ZipFile(packed) as archive:
        assert all(KEY.encode() not in archive.read(name) for name in archive.namelist())
    # and after a restart it still opens, from what is kept encrypted
    home.kill()
    home.start()
    assert home.doce.test_provider("mine")["models"] == 1
    home.stop()
    files = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()]
    assert any(path.name == "db.sqlite" for path in files)
    assert any(path.name == "serve.log" for path in files)
    for path in files:
        assert KEY.encode() not in path.read_bytes(), path


def look_at_processes(home: House, project: str) -> None:
    """The agent's and the preview's: what they were started with."""
    agents = [process for service in ("opencode", "preview") for process in home.agents(project, service)]
    assert agents
    for process in agents:
        for one in [process, *process.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                assert KEY not in " ".join(one.cmdline())
                assert KEY not in json.dumps(one.environ())


def look_into_containers(home: House, project: str) -> None:
    """What the engine knows of them, every file they have, mounts and memory disks too, and what they wrote."""
    with contextlib.closing(Engine()) as engine:
        for service in ("opencode", "preview"):
            container = engine.client.containers.get(container_name(project, service))
            assert KEY not in json.dumps(container.attrs)
            assert KEY.encode() not in container.logs()
            assert not holds(container.export(), KEY.encode())
            folders = [mount["Destination"] for mount in container.attrs["Mounts"]] + list(container.attrs["HostConfig"]["Tmpfs"] or {})
            assert any(holds(container.get_archive(folder)[0], b"<!doctype html>") for folder in folders), "what is there is found"
            for folder in folders:
                assert not holds(container.get_archive(folder)[0], KEY.encode()), folder


def holds(pieces: Iterable[bytes], key: bytes) -> bool:
    """Whether `key` is in a stream, over the borders of its pieces, too."""
    before = b""
    for piece in pieces:
        if key in before + piece:
            return True
        before = piece[-len(key) :]
    return False
