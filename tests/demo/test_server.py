"""A doce of the demo's own: it ends whole, and what would survive it is found."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from doce.client import Doce
from doce.demo.server import Server, touching
from doce.errors import Unavailable

pytestmark = pytest.mark.slow

LINGER = "import sys; print('here', flush=True); sys.stdin.read()"


def test_it_answers_with_its_admin_and_leaves_nothing(tmp_path: Path) -> None:
    server = Server(tmp_path / "demo")
    address = server.start()
    try:
        with Doce(address=address) as doce:
            assert doce.request("GET", "/api/me")["name"] == "demo"
        process = psutil.Process(server.pid)
    finally:
        left = server.stop()
    assert left == []
    assert not process.is_running()
    server.remove()
    assert not (tmp_path / "demo").exists()


def test_what_survives_is_found_and_ended(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    with subprocess.Popen([sys.executable, "-c", LINGER], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as survivor:
        assert survivor.stdout
        survivor.stdout.readline()
        assert [process.pid for process in touching(folder)] == [survivor.pid]
        left = Server(folder).stop()
        assert len(left) == 1
        assert str(survivor.pid) in left[0]
        survivor.wait(5)
    assert touching(folder) == []


def test_a_port_that_is_still_taken_is_said(tmp_path: Path) -> None:
    server = Server(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server.watch_port(taken.getsockname()[1])
        assert server.stop() == [f"port {taken.getsockname()[1]} is still taken"]


def test_a_doce_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(tmp_path / "demo")
    monkeypatch.setenv("DOCE_BIND", "203.0.113.1")
    with pytest.raises(Unavailable, match="did not start") as caught:
        server.start()
    assert caught.value.hint
    assert "203.0.113.1" in caught.value.hint
    assert server.stop() == []
