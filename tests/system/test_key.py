"""A provider's key opens the provider for the agent's turn, and is in clear nowhere: not with the agent, not on disk, in no answer."""

from __future__ import annotations

import contextlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from doce.client import calls
from doce.llm import rehearsal

from .house import house

pytestmark = [pytest.mark.system, pytest.mark.slow]
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


def test_the_key_is_nowhere_in_clear(tmp_path: Path, cache: Path, provider: str) -> None:
    folder = tmp_path / "data"
    with house(folder, cache, DOCE_RUNTIME="process") as made:
        doce = made.doce
        answers: list[Any] = [doce.set_provider("mine", KEY, base_url=provider)]
        assert answers[0]["models"] == 1
        project, events = made.create("a site about tea", model="mine/builder")
        assert events[-1].type == "chat.prompt.completed"
        _, more = made.ask(project, "[[rehearse run: env]] look around")
        assert more[-1].type == "chat.prompt.completed"
        spent = doce.request("GET", f"/api/projects/{project}/usage")
        assert spent["models"][0]["of"] == "mine/builder"
        assert spent["total"]["input"] > 0
        assert any(event.type == "chat.usage" for event in events)

        agents = [process for service in ("opencode", "preview") for process in made.agents(project, service)]
        assert agents
        for process in agents:
            with_children = [process, *process.children(recursive=True)]
            for one in with_children:
                with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    assert KEY not in " ".join(one.cmdline())
                    assert KEY not in json.dumps(one.environ())
        answers += [doce.settings(), doce.providers(), doce.models(), doce.happened(project, limit=1000), doce.jobs()]
        answers += [
            doce.test_provider("mine"),
            doce.request("GET", f"/api/projects/{project}/logs/tail"),
            [event.envelope() for event in (*events, *more)],
        ]
        assert KEY not in json.dumps(answers)
        packed = io.BytesIO()
        doce.download(calls.export(project), packed)
        with zipfile.ZipFile(packed) as archive:
            assert all(KEY.encode() not in archive.read(name) for name in archive.namelist())
        # and after a restart it still opens, from what is kept encrypted
        made.kill()
        made.start()
        assert made.doce.test_provider("mine")["models"] == 1
    files = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()]
    assert any(path.name == "db.sqlite" for path in files)
    assert any(path.name == "serve.log" for path in files)
    for path in files:
        assert KEY.encode() not in path.read_bytes(), path
