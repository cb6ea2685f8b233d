from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import peewee
import pytest

from doce.projects.status import ProjectStatus
from doce.projects.views import ProjectView
from tests.web.house import House, served


@pytest.fixture
def house(db: peewee.SqliteDatabase, tmp_path: Path) -> Iterator[House]:
    with served(tmp_path) as made:
        yield made


def running(house: House, owner: str, prompt: str) -> ProjectView:
    """A project of `owner` whose services run."""
    project = house.services.projects.create(owner, prompt, name=prompt.removeprefix("a "))
    house.store.update(project.id, preview_port=41000, bootstrap_session_id="ses_1")
    house.store.set_status(project.id, ProjectStatus.STARTING)
    house.store.set_status(project.id, ProjectStatus.RUNNING)
    return house.services.projects.get(project.id)
