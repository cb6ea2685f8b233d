"""A port that somebody else takes in the moment between doce's look at it and the start of what should listen there."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from doce.client.reading import Event

from .conftest import docked
from .house import House, ended_prompt, house
from .test_production import PATH, deploy, production, settled

# Several start a doce, images and agents of their own, on a machine that may be slow.
pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

#: What is started, in its order: the agent begins first, as it takes longest.
ORDER = {"opencode": 1, "preview": 2, "web of files": 3, "release": 3, "web of a server": 4}


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.nightly)])
def runtime(request: pytest.FixtureRequest) -> str:
    if request.param == "docker":
        request.getfixturevalue("images")
    return str(request.param)


@contextlib.contextmanager
def begun(runtime: str, folder: Path, cache: Path, service: str) -> Iterator[tuple[House, Path]]:
    """A doce that stops still just before the start of `service`; (it, the file that lets it go on)."""
    go = folder / "go"
    point = {"process": "process.starting", "docker": "docker.created"}[runtime]
    settings = {"DOCE_FAULT": f"{point}=pause:{go}@{ORDER[service]}", "DOCE_DRAIN_S": "1"}
    with (docked if runtime == "docker" else house)(folder / "data", cache, **settings) as home:
        yield home, go


@contextlib.contextmanager
def taken(port: int, go: Path) -> Iterator[None]:
    """Somebody else listens on `port` by the time doce goes on."""
    reached, bell = go.with_name("go.reached"), threading.Event()
    for _ in range(600):
        if reached.exists():
            break
        bell.wait(0.1)
    else:
        raise AssertionError("it never came so far")
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        go.touch()
        yield


def until(look: Callable[[], int | None]) -> int:
    """What is there once it is."""
    bell = threading.Event()
    for _ in range(600):
        if found := look():
            return int(found)
        bell.wait(0.1)
    raise AssertionError("no port")


def over(event: Event) -> bool:
    return ended_prompt(event) or (event.type == "project.status" and event.payload["status"] == "error")


@pytest.mark.parametrize(
    ("template", "service"),
    [
        ("static", "opencode"),
        ("static", "preview"),
        pytest.param("astro-starter", "preview", marks=pytest.mark.nightly),
    ],
)
def test_a_service_of_a_project_gets_another_port(runtime: str, tmp_path: Path, cache: Path, template: str, service: str) -> None:
    with begun(runtime, tmp_path, cache, service) as (home, go):
        project = home.doce.create("[[rehearse only: hello]] a page about harbours", template=template)["id"]
        chosen = until(lambda: home.doce.project(project)[f"{service}Port"])
        with taken(chosen, go):
            events = home.until(project, over)
            assert events[-1].type == "chat.prompt.completed", events[-1].payload
            assert home.doce.project(project)[f"{service}Port"] != chosen
            assert "<html" in home.page(project)


@pytest.mark.parametrize("service", ["web of files", "release", pytest.param("web of a server", marks=pytest.mark.nightly)])
def test_a_deployment_gets_another_port(runtime: str, tmp_path: Path, cache: Path, service: str) -> None:
    with begun(runtime, tmp_path, cache, service) as (home, go):
        template = "static" if service == "web of files" else "node-server"
        project, _ = home.create("[[rehearse only: hello]] a page about harbours", template=template)
        asked = home.doce.request("POST", PATH.format(project))
        with taken(_port_of_deployment(home, project, service), go):
            after = settled(home, project, asked["seq"])
            assert after["status"] == "running", after["error"]
            assert httpx.get(after["url"], trust_env=False).status_code == 200
        assert deploy(home, project)["url"] == production(home, project)["url"], "and it stays where it is now"


def _port_of_deployment(home: House, project: str, service: str) -> int:
    def begins(event: Event) -> bool:
        return event.type == "production.status" and event.payload.get("step") == "starting the new version"

    if service != "release":
        home.until(project, begins)
        return until(lambda: production(home, project)["port"])
    log = home.folder / "projects" / project / "logs" / "docker.log"

    def listed() -> int | None:
        said = [line for line in log.read_text().splitlines() if "starting release-" in line]
        return int(said[-1].partition(" on port ")[2].partition(":")[0]) if said else None

    return until(listed)
