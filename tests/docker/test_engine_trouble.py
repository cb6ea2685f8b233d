"""What the engine, or somebody at its command line, may do to doce: stop, come back, remove, take names."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import docker.errors
import pytest

from doce.docker import DockerRuntime
from doce.docker.compose import container_name, project_name
from doce.docker.engine import Engine
from doce.docker.images import BASE, Image, Images
from doce.errors import BadRequest, DoceError, Unavailable
from doce.settings import Settings, machine_path
from doce.stacks.runtime import ServiceState
from doce.stacks.stack import Probe, Service, Stack
from doce.toolchain import Toolchain

from .private import PrivateEngine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.system,
]

BARE = Image("test-bare", "doce/test-bare", BASE)
FOREVER = ("sh", "-c", "echo it runs; exec tail -f /dev/null")


def private_engine() -> PrivateEngine:
    """One that does not run yet."""
    if os.geteuid() != 0 or PrivateEngine.missing():
        pytest.skip(f"NO ENGINE OF OUR OWN: root is needed, and {PrivateEngine.missing() or 'that is all'}")
    return PrivateEngine()


@pytest.fixture(scope="module")
def private() -> Iterator[PrivateEngine]:
    engine = private_engine()
    engine.start()
    yield engine
    engine.remove()


class Scene:
    """A runtime on the private engine, and what it told."""

    def __init__(self, engine: PrivateEngine, data: Path) -> None:
        self.engine = engine
        self.settings = Settings(data=data)
        self.connection = Engine(engine.host)
        self.images = self.images_with()
        self.images.build(BARE.name, lambda line: None)
        self.told: list[tuple[str, str]] = []
        self.bell = threading.Condition()
        self.runtime = self.begin()

    def images_with(self, **settings: str) -> Images:
        """As a doce with these settings sees them."""
        changed = self.settings.model_copy(update=settings)
        images = Images(changed, self.connection, Toolchain(changed.cache, path=machine_path()))
        images.add(BARE)
        return images

    def begin(self) -> DockerRuntime:
        runtime = DockerRuntime(self.settings, f"trouble-{os.getpid()}", self.connection, self.images)
        runtime.watch(self._on_end)
        return runtime

    def _on_end(self, project_id: str, service: str) -> None:
        with self.bell:
            self.told.append((project_id, service))
            self.bell.notify_all()

    def service(self, name: str = "preview", image: str = BARE.tag, command: tuple[str, ...] = FOREVER) -> Service:
        port = {"preview": 4321, "opencode": 3000}[name]
        return Service(name=name, image=image, command=command, port=port, host_port=port + 20000, probe=Probe(any_status=True))

    def up(self, *services: Service) -> dict[str, ServiceState]:
        root = self.settings.data / "projects" / "prj_a"
        (root / "workspace").mkdir(parents=True, exist_ok=True)
        stack = Stack("prj_a", "a", root / "workspace", root / "agent", root / "logs", services, root / "store")
        return {state.service: state for state in self.runtime.up(stack, report=lambda line: None, cancelled=lambda: None)}

    def until_told(self, count: int, timeout_s: float = 20) -> None:
        with self.bell:
            assert self.bell.wait_for(lambda: len(self.told) >= count, timeout_s), self.told

    def log(self) -> str:
        return self.runtime.logs("prj_a").read().text


@pytest.fixture
def scene(private: PrivateEngine, tmp_path: Path) -> Iterator[Scene]:
    private.start()
    # As wherever somebody put it.
    scene = Scene(private, tmp_path / "my data: $all, 'quoted'")
    yield scene
    scene.runtime.destroy("prj_a")
    scene.runtime.close()


def until(holds: Callable[[], object], timeout_s: float = 20) -> None:
    bell = threading.Event()
    for _ in range(int(timeout_s / 0.05)):
        with contextlib.suppress(Unavailable):
            if holds():
                return
        bell.wait(0.05)
    raise AssertionError("it never happened")


@pytest.mark.parametrize("how", ["ended", "killed"])
def test_an_engine_that_stops_and_comes_back_heals_by_itself(scene: Scene, how: str) -> None:
    before = scene.up(scene.service("preview"), scene.service("opencode"))
    until(lambda: scene.log().count("it runs") == 2)
    scene.engine.end() if how == "ended" else scene.engine.kill()
    for ask in (scene.runtime.available, lambda: scene.runtime.ps("prj_a"), scene.runtime.projects, lambda: scene.up(scene.service())):
        with pytest.raises(Unavailable, match="does not answer") as caught:
            ask()
        assert "systemctl start docker" in str(caught.value.hint)
    scene.engine.start()
    scene.until_told(2)
    assert sorted(set(scene.told)) == [("prj_a", "opencode"), ("prj_a", "preview")], "told once the engine is back"
    assert {state.state for state in scene.runtime.ps("prj_a")} == {"exited"}
    after = scene.up(scene.service("preview"), scene.service("opencode"))
    assert {state.state for state in after.values()} == {"running"}
    assert not {state.id for state in after.values()} & {state.id for state in before.values()}
    until(lambda: scene.log().count("it runs") == 4)
    # And it hears again of what happens.
    scene.connection.client.containers.get(after["preview"].id).kill()
    scene.until_told(3, timeout_s=2)


def test_doce_is_there_before_the_engine(scene: Scene) -> None:
    scene.runtime.close()
    scene.engine.end()
    scene.runtime = scene.begin()
    with pytest.raises(Unavailable, match="does not answer"):
        scene.runtime.available()
    scene.engine.start()
    # Its thread waits a moment longer between two looks each time.
    state = scene.up(scene.service())["preview"]
    until(lambda: "it runs" in scene.log())
    scene.connection.client.containers.get(state.id).kill()
    scene.until_told(1)


def test_what_is_removed_by_hand_is_told_and_made_again(scene: Scene) -> None:
    state = scene.up(scene.service())["preview"]
    scene.connection.client.containers.get(state.id).remove(force=True)
    scene.until_told(1, timeout_s=2)
    assert scene.runtime.ps("prj_a") == []
    assert scene.up(scene.service())["preview"].state == "running"
    scene.runtime.stop("prj_a")
    scene.connection.client.networks.get(project_name("prj_a")).remove()
    assert scene.up(scene.service())["preview"].state == "running"


def test_a_name_that_somebody_else_has_is_told_and_left_alone(scene: Scene) -> None:
    name = container_name("prj_a", "preview")
    other = scene.connection.client.containers.create(BARE.tag, ["true"], name=name)
    try:
        with pytest.raises(DoceError, match=f"A container called {name} is there already") as caught:
            scene.up(scene.service())
        assert f"docker rm -f {name}" in str(caught.value.hint)
        scene.runtime.destroy("prj_a")
        other.reload()
    finally:
        other.remove(force=True)
    assert scene.up(scene.service())["preview"].state == "running"


def test_a_network_that_somebody_else_has_the_name_of_is_not_shared(scene: Scene) -> None:
    """A container that joined it would stand beside strangers."""
    other = scene.connection.client.networks.create(project_name("prj_a"), driver="bridge")
    try:
        with pytest.raises(DoceError, match="A network called doce_prj_a is there already"):
            scene.up(scene.service())
        assert scene.runtime.ps("prj_a") == []
    finally:
        other.remove()
    assert scene.up(scene.service())["preview"].state == "running"


def test_an_image_that_is_not_there_and_a_program_that_is_not_in_it(scene: Scene) -> None:
    with pytest.raises(Unavailable, match="The image doce/never-was is not there") as caught:
        scene.up(scene.service(image="doce/never-was"))
    assert "doce images build" in str(caught.value.hint)
    assert scene.runtime.ps("prj_a") == []
    scene.up(scene.service(command=("no-such-program",)))
    scene.until_told(1)
    assert scene.runtime.ps("prj_a")[0].exit_code == 127
    assert "no-such-program" in scene.log()


@contextlib.contextmanager
def registry(scene: Scene, folder: Path) -> Iterator[str]:
    """A real one that only the private engine reaches; its address."""
    if shutil.which("docker-registry") is None:
        pytest.skip("NO REGISTRY here: Debian's package docker-registry is one")
    config = folder / "registry.yml"
    config.write_text(f"version: 0.1\nstorage: {{filesystem: {{rootdir: {folder / 'registry'}}}}}\nhttp: {{addr: '127.0.0.1:5000'}}\n")
    with (folder / "registry.log").open("wb") as log:
        running = subprocess.Popen(scene.engine.words_inside("docker-registry", "serve", str(config)), stdout=log, stderr=log)
    try:
        probe, client = "127.0.0.1:5000/probe:1", scene.connection.client
        client.images.get(BARE.tag).tag(probe)
        until(lambda: "Pushed" in str(client.images.push(probe)) or "digest" in str(client.images.push(probe)))
        client.images.remove(probe)
        yield "127.0.0.1:5000"
    finally:
        running.terminate()
        running.wait(10)


def test_an_image_that_a_registry_has_is_pulled(scene: Scene, tmp_path: Path) -> None:
    with registry(scene, tmp_path) as address:
        tag, client = f"{address}/somebody/bare:1", scene.connection.client
        client.images.get(BARE.tag).tag(tag)
        client.images.push(tag)
        client.images.remove(tag)
        told: list[str] = []
        scene.images.ensure(tag, told.append)
        assert told[0] == f"pulling the image {tag}"
        assert scene.up(scene.service(image=tag))["preview"].state == "running"
        before = len(told)
        scene.images.ensure(tag, told.append)
        assert len(told) == before, "nothing to do"
        # And by the command, when a setting names it.
        client.images.remove(tag, force=True)
        named = scene.images_with(node_image=tag)
        assert [named.build("node", told.append) for _ in range(2)] == [True, False]
        assert client.images.get(tag).tags


def test_doces_own_images_are_pulled_where_a_registry_has_them(scene: Scene, tmp_path: Path) -> None:
    with registry(scene, tmp_path) as address:
        client, told = scene.connection.client, list[str]()
        images = scene.images_with(registry=f"{address}/team")
        place = f"{address}/team/{BARE.tag}:{BARE.inputs}"
        images.push(BARE.name, told.append)
        assert told[0] == f"pushing the image {place}"
        before = client.images.get(BARE.tag).id

        def ensured() -> list[str]:
            for tag in (BARE.tag, place):
                with contextlib.suppress(docker.errors.ImageNotFound):
                    client.images.remove(tag, force=True)
            told.clear()
            images.ensure(BARE.name, told.append)
            assert images.ready(BARE.name)
            return list(told)

        said = ensured()
        assert said[0] == f"pulling the image {place}"
        assert not [line for line in said if line.startswith(("unpacking", "handing"))], "not built"
        assert client.images.get(BARE.tag).id == before
        # What stands there under its name and is another.
        client.images.get(BARE.tag).tag("doce/other")
        made = client.containers.create("doce/other", ["true"])
        made.commit(f"{address}/team/{BARE.tag}", BARE.inputs, changes="LABEL dev.doce.inputs=another")
        made.remove()
        client.images.push(place)
        said = ensured()
        assert f"what {address}/team has as {place} is something else, it is built here" in said
        assert f"handing the image {BARE.tag} to the engine" in said
    said = ensured()
    assert any(line.startswith(f"{address}/team does not have it, it is built here: ") for line in said), "a registry that is away"
    with pytest.raises(Unavailable, match="could not be pushed") as caught:
        images.push(BARE.name, told.append)
    assert "docker login" in str(caught.value.hint)


def test_only_doces_own_images_are_put_into_a_registry(scene: Scene) -> None:
    with pytest.raises(BadRequest, match="No registry is named"):
        scene.images.push(BARE.name, lambda line: None)
    with pytest.raises(BadRequest, match="not an image of doce's own"):
        scene.images_with(registry="127.0.0.1:5000/team", node_image="somebody/node").push("node", lambda line: None)


#: A registry that takes calls and never answers.
SILENT = """
import socket
with socket.create_server(("127.0.0.1", 5001)) as door:
    print("listens", flush=True)
    kept = []
    while True:
        kept.append(door.accept())
        print("asked", flush=True)
"""


def test_an_engine_that_dies_in_the_middle_of_a_pull(scene: Scene) -> None:
    words = scene.engine.words_inside(sys.executable, "-c", SILENT)
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as silent:
        assert silent.stdout
        assert silent.stdout.readline() == "listens\n"
        failures: list[Exception] = []

        def pull() -> None:
            try:
                scene.images.ensure("127.0.0.1:5001/somebody/slow:1", lambda line: None)
            except Exception as error:
                failures.append(error)

        pulling = threading.Thread(target=pull)
        pulling.start()
        assert silent.stdout.readline() == "asked\n"
        scene.engine.kill()
        pulling.join(20)
        silent.kill()
    (failure,) = failures
    assert isinstance(failure, Unavailable), "so that the job tries again"
    assert "could not be pulled: The Docker engine does not answer" in str(failure)
    assert "systemctl start docker" in str(failure.hint)
    scene.engine.start()
    assert scene.up(scene.service())["preview"].state == "running"


def test_an_image_that_no_registry_has(scene: Scene) -> None:
    with pytest.raises(Unavailable, match="could not be pulled") as caught:
        scene.images.ensure("localhost:1/nobody/has-this", lambda line: None)
    assert "doce images build" in str(caught.value.hint)


def test_it_is_not_made_half_when_it_cannot_be_started(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gone between its making and its start, as by somebody who cleans up."""
    real = DockerRuntime._create

    def create(self: DockerRuntime, made: dict[str, object]) -> object:
        container = real(self, made)
        container.remove()
        return container

    monkeypatch.setattr(DockerRuntime, "_create", create)
    with pytest.raises(Unavailable, match="went away while it was being started"):
        scene.up(scene.service())
    monkeypatch.undo()
    assert scene.up(scene.service())["preview"].state == "running"


@pytest.mark.nightly
def test_the_disk_of_the_engine_is_full(tmp_path: Path) -> None:
    """Its data may lie on a disk of its own."""
    engine = private_engine()
    filler = engine.small_disk(megabytes=400) / "filler"
    engine.start()
    scene = Scene(engine, tmp_path / "data")
    try:
        with contextlib.suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(bytes(1024 * 1024))
        with pytest.raises(Unavailable, match="The disk of the Docker engine is full") as caught:
            scene.up(scene.service())
        assert "docker system prune" in str(caught.value.hint)
        assert scene.runtime.ps("prj_a") == []
        with pytest.raises(Unavailable, match="The disk of the Docker engine is full"):
            scene.images.build(BARE.name, lambda line: None, anew=True)
        filler.unlink()
        assert scene.up(scene.service())["preview"].state == "running"
    finally:
        scene.runtime.destroy("prj_a")
        scene.runtime.close()
        engine.remove()


def test_the_range_of_networks_is_used_up(scene: Scene) -> None:
    narrow = scene.settings.model_copy(update={"container_network": "10.99.0.0/28"})
    runtime = DockerRuntime(narrow, f"narrow-{os.getpid()}", Engine(scene.engine.host), scene.images)
    networks = runtime._networks
    try:
        networks.ensure("prj_one")
        with pytest.raises(Unavailable, match=r"No range of addresses is free in 10\.99\.0\.0/28") as caught:
            networks.ensure("prj_two")
        assert "DOCE_CONTAINER_NETWORK" in str(caught.value.hint)
    finally:
        networks.remove("prj_one")
        runtime.close()
