"""A small doce over a real socket, told what to answer: what the client meets, without what it does not."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PROJECT = "prj_1"


def frame(seq: int, type_: str = "chat.message.part.added", payload: dict[str, Any] | None = None, **ids: str) -> bytes:
    """One event as doce sends it."""
    payload = {"messageId": "msg_1", "partId": "prt_1", "offset": 0, "deltaText": f"{seq} "} if payload is None else payload
    envelope = {"seq": seq, "type": type_, "projectId": PROJECT, **ids, "time": 1_800_000_000_000 + seq, "payload": payload}
    return f"id: {seq}\nevent: chat.event\ndata: {json.dumps(envelope)}\n\n".encode()


@dataclass
class Asked:
    """One request that arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class Answer:
    """What is sent back; `chunks` is a stream that ends where it ends, in the middle of a frame too."""

    status: int = 200
    body: Any = None
    text: str | None = None
    chunks: list[bytes] | None = None
    #: The stream stays open after its chunks until the twin closes.
    hold: bool = False
    headers: dict[str, str] = field(default_factory=dict)


class DoceTwin:
    """Answers from `script` first, one a request, then from `answer`."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.script: list[Answer] = []
        self.answer: Callable[[Asked], Answer] = lambda asked: Answer(404, {"error": {"code": "NOT_FOUND", "message": asked.path}})
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, asked: Asked) -> Answer:
        with self._lock:
            self.asked.append(asked)
            return self.script.pop(0) if self.script else self.answer(asked)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        twin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing: a test's output is its own."""

            def _serve(self) -> None:
                parts = urlsplit(self.path)
                raw = self.rfile.read(int(self.headers.get("content-length") or 0))
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                body = json.loads(raw) if raw else None
                answer = twin.take(Asked(self.command, parts.path, query, {k.lower(): v for k, v in self.headers.items()}, body))
                if answer.chunks is not None:
                    self._stream(answer)
                else:
                    self._value(answer)

            def _value(self, answer: Answer) -> None:
                data = answer.text.encode() if answer.text is not None else b"" if answer.body is None else json.dumps(answer.body).encode()
                self.send_response(answer.status)
                kind = "text/html" if answer.text is not None else "application/json"
                for name, value in {"content-type": kind, "content-length": str(len(data)), **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def _stream(self, answer: Answer) -> None:
                assert answer.chunks is not None
                self.send_response(answer.status)
                self.send_header("content-type", "text/event-stream")
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                for chunk in answer.chunks:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                    self.wfile.flush()
                if answer.hold:
                    twin.closing.wait(30)
                # No last chunk: the connection breaks, as when doce is killed.
                self.close_connection = True

            do_GET = do_POST = do_DELETE = do_PATCH = do_PUT = _serve

        return Handler


@contextmanager
def doce_twin() -> Iterator[DoceTwin]:
    twin = DoceTwin()
    try:
        yield twin
    finally:
        twin.close()


def free_port() -> int:
    """A port nobody listens on (now)."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
