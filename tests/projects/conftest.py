from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import peewee
import pytest

from doce.clock import ManualClock
from doce.db.models import User
from doce.errors import BadRequest
from doce.projects.lifecycle import Projects
from doce.projects.prompts import PromptStore
from doce.projects.store import ProjectStore
from doce.settings import Settings


class OnlyRehearsal:
    """A catalogue that knows two models."""

    def check(self, model: str) -> object:
        if model not in ("rehearsal/site-builder", "openai/real"):
            raise BadRequest(f"There is no model {model!r}.")
        return model


@dataclass
class Office:
    settings: Settings
    clock: ManualClock
    store: ProjectStore
    prompts: PromptStore
    projects: Projects
    owner: str = "usr_1"
    isolates: list[bool] = field(default_factory=lambda: [False])


@pytest.fixture
def office(db: peewee.SqliteDatabase, tmp_path: Path) -> Office:
    settings = Settings(data=tmp_path / "data", min_free_mb=0)
    clock = ManualClock()
    User.create(id="usr_1", name="ada", role="admin", created_at=0)
    User.create(id="usr_2", name="bob", role="member", created_at=0)
    store, prompts = ProjectStore(settings, clock), PromptStore(clock)
    isolates = [False]
    projects = Projects(settings, clock, store=store, prompts=prompts, models=OnlyRehearsal(), isolates=lambda: isolates[0])
    return Office(settings, clock, store, prompts, projects, isolates=isolates)
