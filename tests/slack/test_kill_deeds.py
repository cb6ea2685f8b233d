"""`doce serve` is killed -9 between what a person asked and the note that it was done: afterwards it was done, and once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from doce.clock import SystemClock
from doce.db.connection import database, open_database
from doce.db.models import ChatThread, Job, Project, Prompt
from doce.events import log
from doce.projects.history import History
from doce.projects.layout import Layout
from doce.projects.prompts import PromptStore
from doce.projects.status import ProjectStatus, PromptState
from doce.queue.types import JobState, JobType
from doce.settings import load, machine_path

from .house import Office, office
from .test_kill import Agent, patiently
from .test_pictures import fake, site

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("deeds") / "data"
    # A Chromium that says when it begins and waits until it may.
    fake(folder.parent / "bin", f"cd {folder.parent}; touch reached; while [ ! -e go ]; do sleep 0.02; done; echo picture > $SHOT")
    path = f"{folder.parent}/bin:{machine_path()}"
    with office(folder, load().cache, linked=("ada",), DOCE_WORKERS="0", DOCE_SLACK_PREVIEW_IMAGES="true", PATH=path) as made:
        open_database(folder / "db.sqlite")
        try:
            yield made
        finally:
            database.close()


def begun(acme: Office) -> tuple[str, str]:
    """A new thread and its project."""
    known = {row.id for row in Project.select()}
    root = acme.new(done=False)
    return root, next(row.id for row in Project.select() if row.id not in known)


def killed_at(acme: Office, fault: str) -> None:
    """A doce that dies there begins."""
    acme.home.kill()
    acme.home.start(DOCE_FAULT=f"{fault}=kill")
    acme.ready()


def died(acme: Office) -> None:
    assert acme.home.process
    acme.home.process.wait(30)


def again(acme: Office) -> None:
    acme.home.start()
    acme.ready()


def prompts(project: str) -> list[Prompt]:
    return list(Prompt.select().where(Prompt.project_id == project).order_by(Prompt.position))


@pytest.mark.parametrize("fault", ["slack.queued", "slack.acted", "slack.settled"])
def test_what_is_to_be_sent_now_is_sent_now(acme: Office, fault: str) -> None:
    root, project = begun(acme)
    store = PromptStore(SystemClock())
    first = prompts(project)[0]
    store.intend(first.id, message_id=f"msg_{project}", session_id="ses_1")
    store.mark_sent(first.id)
    acme.say("then this", root)
    patiently(lambda: len(prompts(project)) == 2)
    killed_at(acme, fault)
    acme.say("now: this first", root)
    died(acme)
    again(acme)
    patiently(lambda: Prompt.get_by_id(first.id).stop_requested_at)
    acme.run(acme.town.settled())
    waiting = [one.text for one in prompts(project) if one.state == PromptState.QUEUED]
    assert waiting == ["this first", "then this"]


@pytest.mark.parametrize("over", [False, True], ids=["under way", "over"])
def test_a_deploy_is_asked_for_once(acme: Office, over: bool) -> None:
    root, project = begun(acme)
    layout = Layout((acme.home.folder / "projects" / project).absolute())
    layout.workspace.mkdir(parents=True)
    (layout.workspace / "index.html").write_text("clay")
    history = History(layout, machine_path())
    history.begin()
    history.commit("First")
    Project.update(status=ProjectStatus.RUNNING.value).where(Project.id == project).execute()
    killed_at(acme, "slack.acted")
    acme.say("deploy", root)
    died(acme)
    if over:
        Job.update(state=JobState.SUCCEEDED.value, finished_at=1).where(Job.project_id == project).execute()
    seen = len(acme.look(lambda: acme.town.ephemeral("ada")))
    again(acme)
    # What is said after it in the thread is done after it.
    acme.say("and this", root)
    patiently(lambda: [one for one in prompts(project) if one.text == "and this"])
    acme.run(acme.town.settled())
    assert Job.select().where(Job.project_id == project, Job.type == JobType.PRODUCTION_BUILD).count() == 1
    told = acme.look(lambda: acme.town.ephemeral("ada"))[seen:]
    assert not [one for one in told if "deployed already" in one.shown]


@pytest.mark.parametrize("fault", [pytest.param("", marks=pytest.mark.nightly), "slack.uploading", "slack.uploaded"])
def test_a_picture_is_owed_until_it_is_in_the_thread(acme: Office, fault: str, tmp_path: Path) -> None:
    def pictures() -> list[str]:
        return [name for one in acme.town.thread("#sites", root) for name in one.files]

    reached, go = acme.home.folder.parent / "reached", acme.home.folder.parent / "go"
    for file in (reached, go):
        file.unlink(missing_ok=True)
    root, project = begun(acme)
    (tmp_path / "index.html").write_text("clay")
    with site(tmp_path) as port:
        Project.update(status=ProjectStatus.RUNNING.value, preview_port=port).where(Project.id == project).execute()
        if fault:
            go.touch()
            killed_at(acme, fault)
        agent = Agent(project, prompts(project)[0])
        agent.say("Done.")
        agent.completed()
        if fault:
            died(acme)
        else:
            patiently(reached.exists)
            # The next turn is told: all that was to be told of this one has been.
            acme.say("and this", root)
            agent = Agent(project, patiently(lambda: prompts(project)[1]))
            agent.say("Going on.")
            acme.shows(root, "Going on.")
            acme.home.kill()
            go.touch()
        again(acme)
        acme.until(pictures, 30)
        agent.completed()
        patiently(lambda: ChatThread.get(ChatThread.project_id == project).cursor >= log.last_seq(project))
    acme.run(acme.town.settled())
    assert len(acme.look(pictures)) == 1
