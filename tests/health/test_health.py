from __future__ import annotations

import base64
import http.server
import socket
import threading
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from doce import health
from doce.health import Health, ready
from doce.stacks.stack import Probe

AGENT = Probe(path="/global/health", user="opencode", password=SecretStr("pässword"))


class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        expected = "Basic " + base64.b64encode("opencode:pässword".encode()).decode()
        if self.path == "/global/health":
            status = 200 if self.headers.get("authorization") == expected else 401
        elif self.path == "/moved":
            status = 302
        else:
            status = 500
        self.send_response(status)
        self.send_header("location", "/global/health")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_a_preview_is_ready_with_any_answer(port: int) -> None:
    assert ready(Probe(any_status=True), port) == Health(True, 500)


def test_an_agent_is_ready_when_it_says_so_to_the_right_password(port: int) -> None:
    assert ready(AGENT, port) == Health(True, 200)
    wrong = ready(Probe(path="/global/health", user="opencode", password=SecretStr("no")), port)
    assert wrong == Health(False, 401, "it answers 401")


def test_a_redirect_is_an_answer_and_not_followed(port: int) -> None:
    assert ready(Probe(path="/moved"), port) == Health(False, 302, "it answers 302")


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert ready(AGENT, free.getsockname()[1]) == Health(False, None, "nobody listens yet")


def test_what_listens_and_says_nothing_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LOOK_S", 0.1)
    health._client.cache_clear()
    try:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            look = ready(AGENT, silent.getsockname()[1])
    finally:
        health._client().close()
        health._client.cache_clear()
    assert look == Health(False, None, "no answer within 0.1 s")


def test_what_speaks_something_else_is_not_ready() -> None:
    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"220 mail ready\r\n")

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        thread = threading.Thread(target=answer, args=(other,))
        thread.start()
        look = ready(AGENT, other.getsockname()[1])
        thread.join()
    assert not look.ok
    assert look.reason.startswith("no HTTP answer")
