"""A real doce on a real engine whose socket goes away and comes back."""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from doce.client.reading import Event
from doce.docker.compose import PROJECT
from doce.docker.engine import Engine
from doce.docker.images import Images
from doce.docker.leftovers import remove_all
from doce.errors import DoceError
from doce.settings import Settings, machine_path
from doce.toolchain import Toolchain

from .house import house, running

pytestmark = pytest.mark.system

SOCKET = "/var/run/docker.sock"


class Door:
    """A way to this machine's engine that can be shut: whoever has it open is cut off, whoever comes finds nobody."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "sock"
        self._server: socket.socket | None = None
        self._open: set[socket.socket] = set()

    def open(self) -> None:
        self.path.unlink(missing_ok=True)
        server = self._server = socket.socket(socket.AF_UNIX)
        server.bind(str(self.path))
        server.listen(64)
        threading.Thread(target=self._serve, args=(server,), daemon=True).start()

    def shut(self) -> None:
        server, self._server = self._server, None
        if server:
            server.shutdown(socket.SHUT_RDWR)
            server.close()
        self.path.unlink(missing_ok=True)
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in threading.enumerate():
            if thread.name == "door":
                thread.join(5)

    def _serve(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = server.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(SOCKET)
                self._open |= {near, far}
                threading.Thread(target=self._join, args=(near, far), name="door", daemon=True).start()

    def _join(self, near: socket.socket, far: socket.socket) -> None:
        back = threading.Thread(target=self._carry, args=(far, near), daemon=True)
        back.start()
        self._carry(near, far)
        back.join()
        self._open -= {near, far}
        near.close()
        far.close()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := one.recv(65536):
                other.sendall(piece)
        with contextlib.suppress(OSError):
            # What one side has said to the end, the other hears to the end.
            other.shutdown(socket.SHUT_WR)


@pytest.fixture
def door(cache: Path) -> Iterator[Door]:
    engine = Engine()
    try:
        engine.ping()
        images = Images(Settings(cache=cache), engine, Toolchain(cache, path=machine_path()))
        if not (images.ready("node") and images.ready("agent")):
            pytest.skip("NOT TESTED: `doce images build` was not run here")
    except DoceError as error:
        pytest.skip(f"NOT TESTED: no engine here: {error}")
    finally:
        engine.close()
    # Short: a socket's path has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="doce-d-", dir="/tmp"))
    made = Door(folder)
    made.open()
    yield made
    made.shut()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def gone(tmp_path: Path) -> Iterator[None]:
    """Nothing of it stays in the engine, however the test ends."""
    yield
    with contextlib.closing(Engine()) as engine:
        remove_all(engine, tmp_path / "data")


def waiting(event: Event) -> bool:
    return event.type == "project.status" and event.payload["status"] == "starting" and "does not answer" in (event.payload["step"] or "")


@pytest.mark.usefixtures("gone")
def test_an_engine_that_goes_away_is_waited_for_and_nothing_counts_as_running_meanwhile(tmp_path: Path, cache: Path, door: Door) -> None:
    tmp_path.chmod(0o755)
    settings = {"DOCE_RUNTIME": "docker", "DOCE_DOCKER_HOST": f"unix://{door.path}", "DOCE_RECONCILE_S": "1"}
    with house(tmp_path / "data", cache, **settings) as home:
        project, events = home.create("[[rehearse only: hello]] a page about doors")
        engine = Engine()

        def containers() -> set[str]:
            return {str(one.id) for one in engine.client.containers.list(filters={"label": f"{PROJECT}={project}"})}

        before = containers()
        assert len(before) == 2
        door.shut()
        away = home.until(project, waiting, after=events[-1].seq)
        assert home.doce.project(project)["previewUrl"] is None
        assert "does not answer" in home.doce.request("GET", "/api/monitor")["problem"]
        door.open()
        home.until(project, running, after=away[-1].seq)
        assert containers() == before, "what ran on is taken up again, not made anew"
        home.doce.delete(project)
        home.until(project, lambda event: event.type == "project.deleted", after=away[-1].seq)
        assert containers() == set()
        engine.close()
