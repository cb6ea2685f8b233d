"""What every runtime promises. A new one joins by a `World` of its own in `WORLDS`."""

from __future__ import annotations

import os
import socket
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Protocol

import pytest
from pydantic import SecretStr

from doce.docker import DockerRuntime
from doce.docker.engine import Engine
from doce.docker.images import BASE, Image, Images
from doce.errors import Conflict, NotFound, Unavailable
from doce.health import ready
from doce.ports import PortTaken, is_free
from doce.process import ProcessRuntime
from doce.settings import Settings, machine_path
from doce.stacks.runtime import MAX_OUTPUT, Runtime, ServiceState
from doce.stacks.stack import Mount, Probe, Service, Stack
from doce.toolchain import Toolchain

pytestmark = pytest.mark.slow

#: Prints a greeting, its KEY, then serves HTTP on PORT.
SERVER = textwrap.dedent("""
    import http.server, os
    print("hello ünïcode ✓ from", os.environ.get("WHO"), os.environ.get("KEY"), flush=True)
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200); self.send_header("content-length", "2"); self.end_headers(); self.wfile.write(b"ok")
        def log_message(self, *a): pass
    http.server.ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
""")
#: Says why, and ends.
CRASH = "import sys; print('error: it broke', flush=True); sys.exit(3)"
#: Does not end when it is asked to.
STUBBORN = """
import signal, threading
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("it stays", flush=True)
threading.Event().wait()
"""
#: Leaves the port to a grandchild in a session of its own that ignores every polite signal.
DAEMON = textwrap.dedent(f"""
    import os, signal, sys, threading
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            exec({SERVER!r})
        os._exit(0)
    threading.Event().wait()
""")


class World(Protocol):
    """A runtime and what its services are made of."""

    runtime: Runtime

    def service(self, name: str, program: str, **options: object) -> Service:
        """A service that runs `program` (Python)."""

    def argv(self, program: str) -> list[str]:
        """`program` (Python) as a command inside a service."""

    def stack(self, *services: Service, project: str = "prj_a") -> Stack: ...

    def again(self) -> Runtime:
        """A second runtime on the same data, as a doce that starts after this one or beside it."""

    def end(self) -> None: ...


class ProcessWorld:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._all: list[ProcessRuntime] = []
        self.runtime: Runtime = self.again()

    def service(self, name: str, program: str, **options: object) -> Service:
        port = free_port()
        values: dict[str, object] = {"port": port, "host_port": port, "probe": Probe(any_status=True)} | options
        return Service(name=name, image="", command=tuple(self.argv(program)), **values)  # type: ignore[arg-type]

    def argv(self, program: str) -> list[str]:
        return [sys.executable, "-c", program]

    def stack(self, *services: Service, project: str = "prj_a") -> Stack:
        root = self._folder / "projects" / project
        (root / "workspace").mkdir(parents=True, exist_ok=True)
        return Stack(project, project.removeprefix("prj_"), root / "workspace", root / "agent", root / "logs", services)

    def again(self) -> ProcessRuntime:
        self._all.append(ProcessRuntime(self._folder, f"contract-{os.getpid()}", machine_path))
        return self._all[-1]

    def end(self) -> None:
        for project in self.runtime.projects():
            self.runtime.destroy(project)
        for runtime in self._all:
            runtime.close()


class DockerWorld:
    """Containers of an image with Python in it, built as doce builds its own."""

    IMAGE = "doce/test-python"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._instance = f"contract-{os.getpid()}-{folder.parent.name}"
        self._settings = Settings(data=folder)
        self._images = python_image(self._settings)
        self._all: list[DockerRuntime] = []
        self.runtime: Runtime = self.again()

    def service(self, name: str, program: str, **options: object) -> Service:
        values: dict[str, object] = {"port": 4321, "host_port": free_port(), "probe": Probe(any_status=True)} | options
        return Service(name=name, image=self.IMAGE, command=tuple(self.argv(program)), **values)  # type: ignore[arg-type]

    def argv(self, program: str) -> list[str]:
        return ["python3", "-c", program]

    def stack(self, *services: Service, project: str = "prj_a") -> Stack:
        root = self._folder / "projects" / project
        (root / "workspace").mkdir(parents=True, exist_ok=True)
        return Stack(project, project.removeprefix("prj_"), root / "workspace", root / "agent", root / "logs", services, root / "store")

    def again(self) -> DockerRuntime:
        self._all.append(DockerRuntime(self._settings, self._instance, Engine(), self._images))
        return self._all[-1]

    def end(self) -> None:
        for project in self.runtime.projects():
            self.runtime.destroy(project)
        for runtime in self._all:
            runtime.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def python_image(settings: Settings) -> Images:
    images = Images(settings, Engine(), Toolchain(settings.cache, path=machine_path()))
    images.add(Image("test-python", DockerWorld.IMAGE, (*BASE, "python3-minimal", "libpython3-stdlib")))
    images.build("test-python", lambda line: None)
    return images


WORLDS: dict[str, Callable[[Path], World]] = {"process": ProcessWorld, "docker": DockerWorld}


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.system)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "docker":
        request.getfixturevalue("engine")
    world = WORLDS[request.param](tmp_path / "data")
    yield world
    world.end()


def up(runtime: Runtime, wanted: Stack) -> dict[str, ServiceState]:
    states = runtime.up(wanted, report=lambda line: None, cancelled=lambda: None)
    return {state.service: state for state in states}


def until(holds: Callable[[], object], timeout_s: float = 15) -> None:
    """Wait for something that no signal tells."""
    bell = threading.Event()
    for _ in range(int(timeout_s / 0.02)):
        if holds():
            return
        bell.wait(0.02)
    raise AssertionError("it never happened")


def serves(service: Service) -> bool:
    return ready(service.probe, service.host_port).ok


class Ends:
    """What a runtime told of."""

    def __init__(self, runtime: Runtime) -> None:
        self.told: list[tuple[str, str]] = []
        self._bell = threading.Condition()
        self.close = runtime.watch(self._on_end)

    def _on_end(self, project_id: str, service: str) -> None:
        with self._bell:
            self.told.append((project_id, service))
            self._bell.notify_all()

    def wait(self, count: int) -> None:
        with self._bell:
            assert self._bell.wait_for(lambda: len(self.told) >= count, 2), f"told within 2 s: {self.told}"


def test_up_starts_what_is_missing_or_changed_and_nothing_else(world: World) -> None:
    preview, agent = world.service("preview", SERVER), world.service("opencode", SERVER)
    first = up(world.runtime, world.stack(preview, agent))
    assert {name: state.state for name, state in first.items()} == {"preview": "running", "opencode": "running"}
    assert {state.host_port for state in first.values()} == {preview.host_port, agent.host_port}
    again = up(world.runtime, world.stack(preview, agent))
    assert {name: state.id for name, state in again.items()} == {name: state.id for name, state in first.items()}
    port = agent.host_port
    changed = world.service("opencode", SERVER, port=agent.port, host_port=port, secrets={"KEY": SecretStr("another key")})
    third = up(world.runtime, world.stack(preview, changed))
    assert third["preview"] == again["preview"]
    assert third["opencode"].fingerprint != again["opencode"].fingerprint
    assert (third["opencode"].id, third["opencode"].started_at) != (again["opencode"].id, again["opencode"].started_at)
    until(lambda: serves(preview) and serves(changed))


def _wrote(runtime: Runtime, since: int) -> bool:
    return "it stays" in runtime.logs("prj_a").read(since).text


def test_who_does_not_end_is_waited_for_as_long_as_is_said(world: World) -> None:
    wanted = world.service("release-0a1b2c3d", STUBBORN)
    for grace_s in (1, 3):
        before = world.runtime.logs("prj_a").end()
        up(world.runtime, world.stack(wanted))
        until(partial(_wrote, world.runtime, before))
        began = time.monotonic()
        world.runtime.down("prj_a", ["release-0a1b2c3d"], grace_s=grace_s)
        assert grace_s <= time.monotonic() - began < grace_s + 1.5
        assert world.runtime.ps("prj_a") == []
        world.runtime.destroy("prj_a")


def test_stop_keeps_down_forgets(world: World) -> None:
    preview, agent = world.service("preview", SERVER), world.service("opencode", SERVER)
    other = world.service("preview", SERVER)
    up(world.runtime, world.stack(other, project="prj_b"))
    wanted = world.stack(preview, agent)
    up(world.runtime, wanted)
    world.runtime.stop("prj_a", ["opencode"])
    assert {state.service: state.state for state in world.runtime.ps("prj_a")} == {"preview": "running", "opencode": "exited"}
    world.runtime.stop("prj_a")
    world.runtime.stop("prj_a")
    assert {state.state for state in world.runtime.ps("prj_a")} == {"exited"}
    assert is_free(preview.host_port)
    assert {state.state for state in up(world.runtime, wanted).values()} == {"running"}
    world.runtime.down("prj_a")
    assert world.runtime.ps("prj_a") == []
    assert world.runtime.projects() == {"prj_b"}
    until(lambda: serves(other))
    for project in ("prj_b", "prj_b", "never_was"):
        world.runtime.destroy(project)
    assert world.runtime.projects() == set()


def test_an_end_by_itself_is_told_with_its_reason_and_one_that_was_asked_for_is_not(world: World) -> None:
    ends = Ends(world.runtime)
    up(world.runtime, world.stack(world.service("preview", CRASH)))
    ends.wait(1)
    (state,) = world.runtime.ps("prj_a")
    assert (state.state, state.exit_code) == ("exited", 3)
    assert "[app] preview | error: it broke\n" in world.runtime.logs("prj_a").read().text
    up(world.runtime, world.stack(world.service("preview", SERVER)))
    world.runtime.stop("prj_a")
    assert ends.told == [("prj_a", "preview")]
    ends.close()
    ends.close()
    up(world.runtime, world.stack(world.service("preview", CRASH)))
    until(lambda: world.runtime.ps("prj_a")[0].state == "exited")
    assert ends.told == [("prj_a", "preview")]


def test_a_killed_service_tells_the_signal(world: World) -> None:
    ends = Ends(world.runtime)
    up(world.runtime, world.stack(world.service("preview", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")))
    ends.wait(1)
    assert world.runtime.ps("prj_a")[0].exit_code == 137


def test_whatever_a_service_started_ends_with_it(world: World) -> None:
    preview = world.service("preview", DAEMON)
    up(world.runtime, world.stack(preview))
    until(lambda: serves(preview))
    world.runtime.stop("prj_a")
    assert is_free(preview.host_port)
    assert "running" not in {state.state for state in world.runtime.ps("prj_a")}


def test_a_restart_gets_the_port_that_the_dead_services_children_held(world: World) -> None:
    ends = Ends(world.runtime)
    dying = DAEMON.replace("threading.Event().wait()", "open('die').read()")
    preview = world.service("preview", dying)
    wanted = world.stack(preview)
    os.mkfifo(wanted.workspace / "die")
    up(world.runtime, wanted)
    until(lambda: serves(preview))
    (wanted.workspace / "die").write_text("now")
    ends.wait(1)
    replaced = world.service("preview", SERVER, port=preview.port, host_port=preview.host_port)
    up(world.runtime, world.stack(replaced))
    until(lambda: serves(replaced))


def test_a_port_that_somebody_else_has(world: World) -> None:
    preview = world.service("preview", SERVER)
    with socket.socket() as other:
        other.bind(("127.0.0.1", preview.host_port))
        other.listen()
        with pytest.raises(PortTaken) as caught:
            up(world.runtime, world.stack(preview))
    assert (caught.value.port, caught.value.service) == (preview.host_port, "preview")
    assert world.runtime.projects() == set()
    assert up(world.runtime, world.stack(preview))["preview"].state == "running"


def test_a_cancelled_up_starts_nothing_more(world: World) -> None:
    class Cancelled(Exception):
        pass

    reported: list[str] = []

    def cancelled() -> None:
        if reported:
            raise Cancelled

    services = world.service("preview", SERVER), world.service("opencode", SERVER)
    with pytest.raises(Cancelled):
        world.runtime.up(world.stack(*services), report=reported.append, cancelled=cancelled)
    assert [state.service for state in world.runtime.ps("prj_a")] == ["preview"]
    assert len(reported) == 1
    assert reported[0].startswith(f"starting preview on port {services[0].host_port}: ")


def test_the_log_has_every_line_and_no_secret(world: World) -> None:
    secrets = {"KEY": SecretStr("correct horse battery staple")}
    preview, agent = world.service("preview", SERVER, secrets=secrets, env={"WHO": "one"}), world.service("opencode", SERVER)
    up(world.runtime, world.stack(preview, agent))
    until(lambda: world.runtime.logs("prj_a").read().text.count("hello") == 2)
    lines = world.runtime.logs("prj_a").read().text.splitlines()
    assert "[app] preview | hello ünïcode ✓ from one ***" in lines
    assert "[app] opencode | hello ünïcode ✓ from None None" in lines


def test_exec_runs_where_the_service_runs(world: World) -> None:
    with pytest.raises(Conflict):
        world.runtime.exec("prj_a", "preview", world.argv(""), timeout_s=1)
    preview = world.service("preview", SERVER, env={"WHO": "me"})
    wanted = world.stack(preview)
    up(world.runtime, wanted)
    (wanted.workspace / "here").touch()
    program = "import os, sys; print(os.environ['WHO'], os.listdir()); print('2', file=sys.stderr, flush=True); sys.exit(4)"
    done = world.runtime.exec("prj_a", "preview", world.argv(program), timeout_s=20)
    assert done.exit_code == 4
    assert set(done.output.split("\n")) == {"me ['here']", "2", ""}
    with pytest.raises(NotFound, match="no-such-program"):
        world.runtime.exec("prj_a", "preview", ["no-such-program"], timeout_s=5)
    with pytest.raises(Unavailable, match="did not end within"):
        world.runtime.exec("prj_a", "preview", world.argv("import threading; threading.Event().wait()"), timeout_s=0.3)
    much = world.runtime.exec("prj_a", "preview", world.argv(f"print('x' * {3 * MAX_OUTPUT})"), timeout_s=20)
    assert (much.exit_code, len(much.output)) == (0, MAX_OUTPUT)
    until(lambda: serves(preview))


def test_a_doce_that_comes_later_goes_on_with_what_runs(world: World) -> None:
    preview = world.service("preview", SERVER, secrets={"KEY": SecretStr("correct horse battery staple")})
    wanted = world.stack(preview)
    before = up(world.runtime, wanted)["preview"]
    until(lambda: "hello" in world.runtime.logs("prj_a").read().text)
    later = world.again()
    assert later.projects() == {"prj_a"}
    after = up(later, wanted)["preview"]
    assert (after.id, after.state, after.fingerprint, after.host_port) == (before.id, "running", before.fingerprint, before.host_port)
    ends = Ends(later)
    world.runtime.stop("prj_a")
    ends.wait(1)
    assert [state.state for state in later.ps("prj_a")] == ["exited"]
    assert later.logs("prj_a").read().text.count("hello") == 1


def test_two_doces_on_one_data_folder_see_the_same(world: World) -> None:
    """`doce worker` starts and ends services, `doce serve` beside it must not take them for dead."""
    beside = world.again()
    preview = world.service("preview", SERVER)
    wanted = world.stack(preview)
    started = up(world.runtime, wanted)["preview"]
    until(lambda: [state.id for state in beside.ps("prj_a")] == [started.id])
    assert up(beside, wanted)["preview"].id == started.id
    assert beside.exec("prj_a", "preview", world.argv("print('in')"), timeout_s=20).output == "in\n"
    until(lambda: serves(preview))
    beside.stop("prj_a")
    until(lambda: [state.state for state in world.runtime.ps("prj_a")] == ["exited"])
    again = up(beside, wanted)["preview"]
    until(lambda: [(state.id, state.state) for state in world.runtime.ps("prj_a")] == [(again.id, "running")])
    until(lambda: serves(preview))
    until(lambda: world.runtime.logs("prj_a").read().text.count("hello") >= 2)
    assert world.runtime.logs("prj_a").read().text.count("hello") == 2, "copied once, whoever copies"


def test_what_was_deployed_survives_every_preview_operation(world: World) -> None:
    web, release = world.service("web", SERVER, lasting=True), world.service("release-0a1b2c3d", SERVER, lasting=True)
    deployed = up(world.runtime, world.stack(web, release))
    preview, agent = world.service("preview", SERVER), world.service("opencode", SERVER)
    changed = world.service("preview", SERVER, host_port=preview.host_port, port=preview.port, env={"WHO": "changed"})
    for operation in (
        lambda: up(world.runtime, world.stack(preview, agent)),
        lambda: up(world.runtime, world.stack(changed, agent)),
        lambda: world.runtime.stop("prj_a"),
        lambda: up(world.runtime, world.stack(changed, agent)),
        lambda: world.runtime.down("prj_a", ["opencode"]),
        lambda: world.runtime.down("prj_a"),
        lambda: world.runtime.stop("prj_a"),
    ):
        operation()
        now = {state.service: state for state in world.runtime.ps("prj_a")}
        assert {name: now[name] for name in deployed} == deployed
    until(lambda: serves(web) and serves(release))
    assert set(now) == set(deployed), "and down forgot the rest"
    world.runtime.down("prj_a", ["release-0a1b2c3d"])
    assert [state.service for state in world.runtime.ps("prj_a")] == ["web"]
    world.runtime.destroy("prj_a")
    assert world.runtime.ps("prj_a") == []


def test_the_exit_code_of_a_build_is_there_for_a_doce_that_comes_later(world: World) -> None:
    build = world.service("build", "import sys; print('built', flush=True); sys.exit(7)", once=True)
    up(world.runtime, world.stack(build))
    until(lambda: world.runtime.ps("prj_a")[0].state == "exited")
    world.runtime.stop("prj_a")
    world.runtime.down("prj_a")
    world.runtime.close()
    later = world.again()
    world.runtime = later
    if not later.isolates:
        assert later.ps("prj_a") == [], "nothing of it is left: to whoever asks, it was never begun, and is begun again"
        up(later, world.stack(build))
        until(lambda: later.ps("prj_a")[0].state == "exited")
    assert [(state.service, state.exit_code) for state in later.ps("prj_a")] == [("build", 7)]
    until(lambda: "[app] build | built" in later.logs("prj_a").read().text)
    later.down("prj_a", ["build"])
    assert later.ps("prj_a") == []


def test_a_service_sees_the_folders_that_were_named(world: World, tmp_path: Path) -> None:
    release, out = tmp_path / "data" / "release", tmp_path / "data" / "out"
    for folder in (release, out):
        folder.mkdir(parents=True)
    (release / "page.html").write_text("hello")
    (out / "marker").touch()
    program = "import os, sys; print(open(os.environ['FROM'] + '/page.html').read(), os.listdir(os.environ['INTO']), flush=True)"
    where = {"FROM": str(release), "INTO": str(out)}
    mounts = (Mount(release, str(release)), Mount(out, str(out), read_only=False))
    up(world.runtime, world.stack(world.service("build", program, once=True, env=where, mounts=mounts, folder=out)))
    until(lambda: "[app] build | hello ['marker']" in world.runtime.logs("prj_a").read().text)


def test_usage_is_of_all_that_a_service_started(world: World) -> None:
    busy = "import os\nif os.fork() == 0:\n    kept = bytearray(60_000_000)\n    while True: pass\nos.wait()"
    lazy = world.service("opencode", SERVER)
    up(world.runtime, world.stack(world.service("preview", busy), lazy))
    until(lambda: serves(lazy))
    world.runtime.usage("prj_a")
    until(lambda: {one.service: one for one in world.runtime.usage("prj_a")}["preview"].cpu > 20)
    used = {one.service: one for one in world.runtime.usage("prj_a")}
    assert used["preview"].memory > 50_000_000
    assert 1_000_000 < used["opencode"].memory < used["preview"].memory
    world.runtime.stop("prj_a", ["preview"])
    assert [one.service for one in world.runtime.usage("prj_a")] == ["opencode"]
    assert world.runtime.usage("never_was") == []
