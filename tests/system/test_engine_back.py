"""An engine that is killed and comes back, under a real doce: what was deployed is served again by itself, the rest is healed."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from doce.docker.engine import Engine
from doce.docker.images import Images
from doce.settings import Settings, machine_path
from doce.toolchain import Toolchain
from tests.docker.private import PrivateEngine

from .house import House, ended_prompt, house, running
from .test_engine_away import waiting
from .test_production import deploy

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(600),
]


@pytest.fixture
def private(images: None, cache: Path) -> Iterator[PrivateEngine]:
    """An engine of our own with the images of this machine's; meanwhile the test stands in its network."""
    if os.geteuid() != 0 or PrivateEngine.missing():
        pytest.skip(f"NO ENGINE OF OUR OWN: root is needed, and {PrivateEngine.missing() or 'that is all'}")
    engine = PrivateEngine()
    engine.start()
    try:
        with contextlib.closing(Engine()) as here, contextlib.closing(Engine(engine.host)) as there:
            known = Images(Settings(cache=cache), here, Toolchain(cache, path=machine_path()))
            for name in known.names:
                there.client.images.load(here.client.images.get(known.tag(name)).save(named=True))
        with engine.inside():
            yield engine
    finally:
        engine.remove()


def serves(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def until_served(url: str, timeout_s: float = 20) -> None:
    bell = threading.Event()
    for _ in range(int(timeout_s / 0.1)):
        if serves(url):
            return
        bell.wait(0.1)
    raise AssertionError(f"nobody serves {url}")


def test_after_kill_9_of_the_engine_deployments_come_back_without_doce_and_the_rest_with_it(
    private: PrivateEngine, tmp_path: Path, cache: Path
) -> None:
    tmp_path.chmod(0o755)
    settings = {"DOCE_RUNTIME": "docker", "DOCE_DOCKER_HOST": private.host, "DOCE_RECONCILE_S": "1"}
    with house(tmp_path / "data", cache, **settings) as home:
        files, _ = home.create("[[rehearse only: hello]] a page about doors", template="static")
        server, _ = home.create("[[rehearse only: hello]] a page about windows", template="node-server")
        urls = [deploy(home, project)["url"] for project in (files, server)]
        home.stop()
        assert all(serves(url) for url in urls), "doce is away, the sites are not"
        private.kill()
        private.start()
        for url in urls:
            until_served(url)
        home.start()
        _healed(home, files)

        # And in the middle of a turn.
        prompt = home.doce.chat(files, "[[rehearse slow 30]] [[rehearse long 3000]]")
        home.until(files, lambda event: event.type == "chat.message.part.added" and event.prompt_id == prompt["id"], after=prompt["seq"])
        private.kill()
        away = home.until(files, waiting, after=prompt["seq"])[-1]
        private.start()
        ended = home.until(files, lambda event: ended_prompt(event) and event.prompt_id == prompt["id"], after=prompt["seq"])[-1]
        assert ended.type == "chat.prompt.interrupted"
        home.until(files, running, after=away.seq)
        assert home.ask(files, "[[rehearse only: still here]]")[0]["state"] == "completed"
        for url in urls:
            until_served(url)
        for project in (files, server):
            home.doce.delete(project)
            home.until(project, lambda event: event.type == "project.deleted", timeout_s=30)


def _healed(home: House, project: str) -> None:
    prompt, _ = home.ask(project, "[[rehearse only: here again]]")
    assert prompt["state"] == "completed"
