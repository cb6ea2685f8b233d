"""Builds that take their time, never end or break: what is live stays, and nobody waits for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from .conftest import docked
from .house import House, house
from .test_production import PATH, deploy, production, rollback, stop, write

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

PAGE = "src/pages/index.astro"
ENDLESS = "---\nconsole.log('it begins');\nawait new Promise((go) => setTimeout(go, 1e8));\n---\n<p>never</p>\n"
#: How long something may wait beside a build, ms; a job under way is looked at again after a second at most.
SOON_MS = 2000


@pytest.fixture(scope="module", params=["docker", pytest.param("process", marks=pytest.mark.nightly)])
def home(request: pytest.FixtureRequest, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    if request.param == "docker":
        request.getfixturevalue("images")
    data = tmp_path_factory.mktemp("builds") / "data"
    with (docked if request.param == "docker" else house)(data, cache, DOCE_BUILD_TIMEOUT_S="25", DOCE_DRAIN_S="1") as made:
        yield made


def test_nobody_waits_for_a_build_and_it_ends_in_time(home: House) -> None:
    project = home.create("a tea shop", template="astro-starter")[0]
    good = (home.folder / "projects" / project / "workspace" / PAGE).read_text()
    for version in (1, 2):
        write(home, project, PAGE, f"{good}\n<p>version {version}</p>\n")
        assert deploy(home, project)["version"] == version
    url = production(home, project)["url"]

    write(home, project, PAGE, ENDLESS)
    asked = home.doce.request("POST", PATH.format(project))
    prompt = home.doce.chat(project, "[[rehearse only: hello]]")
    events = home.until(project, lambda event: event.type == "chat.prompt.completed", after=asked["seq"])
    started = next(event for event in events if event.type == "chat.prompt.sent")
    queued = next(event for event in events if event.type == "chat.prompt.queued" and event.prompt_id == prompt["id"])
    assert started.time - queued.time < SOON_MS
    assert production(home, project)["activeJob"] == asked["activeJob"], "it builds on"

    before = max(event.seq for event in home.doce.events(project, follow=False))
    assert rollback(home, project)["version"] == 1
    events = [event for event in home.doce.events(project, after=before, follow=False) if event.type == "production.status"]
    assert events[-1].time - events[0].time < SOON_MS
    print(f"a prompt waited {started.time - queued.time} ms, a rollback {events[-1].time - events[0].time} ms beside a build")
    assert "version 1" in httpx.get(url, trust_env=False).text

    over = deploy(home, project)
    assert over["status"] == "failed"
    assert "did not end within 25 s" in over["error"]

    write(home, project, PAGE, "---\nimport nothing from './nowhere.js';\n---\n<p>{nothing}</p>\n")
    broken = deploy(home, project)
    assert broken["status"] == "failed"
    assert "exit code" in broken["error"]
    assert "version 1" in httpx.get(url, trust_env=False).text

    write(home, project, PAGE, ENDLESS)
    home.doce.request("POST", PATH.format(project))
    stop(home, project)

    write(home, project, PAGE, f"{good}\n<p>version 3</p>\n")
    assert deploy(home, project)["status"] == "running"
    assert "version 3" in httpx.get(url, trust_env=False).text
    home.doce.delete(project)
    home.until(project, lambda event: event.type == "project.deleted", timeout_s=30)
