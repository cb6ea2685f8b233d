"""So many projects run at once; the others wait, and each gets a place in the end."""

from __future__ import annotations

from pathlib import Path

import peewee
import pytest

from doce.auth.secrets import SecretKey
from doce.llm.tokens import GatewayTokens
from doce.projects.status import ProjectStatus
from doce.projects.views import ProjectView
from doce.queue.context import JobContext
from doce.queue.enqueue import enqueue
from doce.queue.handlers.docker import _take_place, places
from doce.queue.handlers.work import Work
from doce.queue.interrupts import Rescheduled
from doce.queue.types import DockerComposeUp

from .scene import Scene


class Places:
    def __init__(self, folder: Path, most: int) -> None:
        self.scene = Scene(folder, max_running=most)
        tokens = GatewayTokens(SecretKey.load(folder / "secret.key"), self.scene.clock)
        self.work = Work(**{**vars(self.scene.work), "tokens": tokens})

    def begin(self, project: ProjectView) -> bool:
        """It asks for a place; False: it has to wait."""
        job = enqueue(DockerComposeUp(project_id=project.id, reason="user"), clock=self.scene.clock).job
        try:
            _take_place(self.work, JobContext(job, self.scene.clock), project)
        except Rescheduled:
            return False
        return True


@pytest.fixture
def house(db: peewee.SqliteDatabase, tmp_path: Path) -> Places:
    db.execute_sql("PRAGMA foreign_keys = OFF")
    return Places(tmp_path, 2)


def test_whoever_comes_later_waits_and_gets_the_next_place(house: Places) -> None:
    one, two, three, four = (house.scene.project(ProjectStatus.STARTING, slug=slug) for slug in ("one", "two", "three", "four"))
    assert [house.begin(project) for project in (one, two, three, four)] == [True, True, False, False]
    assert house.scene.store.get(three.id).step == "waiting: 2 projects run already, as many as may"
    assert house.begin(one), "it has its place"
    house.work.tokens.revoke(two.id)
    house.scene.store.set_status(two.id, ProjectStatus.STOPPING)
    assert [house.begin(project) for project in (four, three)] == [True, False]


def test_projects_that_broke_hold_no_place_and_do_not_block_each_other(house: Places) -> None:
    """An error leaves a token valid; three that are started again at once must not wait for one another."""
    projects = [house.scene.project(ProjectStatus.ERROR, slug=slug) for slug in ("one", "two", "three")]
    for project in projects:
        house.work.tokens.grant(project.id)
        house.scene.store.set_status(project.id, ProjectStatus.STARTING)
    began = [house.begin(project) for project in projects] + [house.begin(project) for project in projects]
    assert began.count(True) >= 2


def test_what_runs_is_never_made_to_wait(house: Places) -> None:
    one, two, three = (house.scene.project(slug=slug) for slug in ("one", "two", "three"))
    for project in (one, two):
        house.work.tokens.grant(project.id)
    house.scene.runtime.runs(three.id, "preview")
    assert house.begin(three)


def test_without_a_number_the_memory_decides(db: peewee.SqliteDatabase, tmp_path: Path) -> None:
    assert places(Places(tmp_path, 0).work) >= 2
