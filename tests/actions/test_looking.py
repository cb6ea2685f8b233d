from __future__ import annotations

from typing import Any

import pytest

from doce.actions import render
from doce.actions.catalog import actions
from doce.actions.looking import Condition, LogTail, ProjectUsage
from doce.actions.registry import perform, understand
from doce.db.models import Usage
from doce.errors import BadRequest
from doce.events import log
from doce.queue import jobs
from doce.stacks.logs import LogFile
from tests.web.house import House

from .conftest import running

DAY_MS = 24 * 60 * 60 * 1000


def do(house: House, person: Any, name: str, **values: Any) -> Any:
    return perform(actions()[name], house.services, person, understand(actions()[name], values))


def used(project_id: str, day: int, tokens: int, cost: float, prompt_id: str | None = None, **more: Any) -> None:
    values = {"provider": "openrouter", "model": "big", "input_tokens": tokens, "output_tokens": 2 * tokens, "cached_tokens": 1, **more}
    Usage.create(project_id=project_id, prompt_id=prompt_id, cost=cost, at=day * DAY_MS + 5, **values)


def test_usage_is_summed_in_all_and_by_model_day_and_prompt(house: House) -> None:
    ada, _ = house.person("ada")
    project, other = running(house, ada.id, "a tea page"), running(house, ada.id, "a bread page")
    used(project.id, 0, 10, 0.5, "prm_1")
    used(project.id, 0, 20, 0.25, "prm_1", model="small", estimated=True)
    used(project.id, 1, 40, 0.125, "prm_2")
    used(project.id, 1, 80, 0, None, purpose="naming")
    used(other.id, 1, 1000, 9, "prm_3")
    found: ProjectUsage = do(house, ada, "projects.usage", project=project.slug)
    assert found.total.model_dump() == {
        "of": None, "calls": 4, "input": 150, "output": 300, "cached": 4, "cost": 0.875, "estimated": True,
    }  # fmt: skip
    of = {
        name: [(one.of, one.calls, one.input, one.cost, one.estimated) for one in getattr(found, name)]
        for name in ("models", "days", "prompts")
    }
    assert of == {
        "models": [("openrouter/big", 3, 130, 0.625, False), ("openrouter/small", 1, 20, 0.25, True)],
        "days": [("1970-01-02", 2, 120, 0.125, False), ("1970-01-01", 2, 30, 0.75, True)],
        "prompts": [(None, 1, 80, 0, False), ("prm_2", 1, 40, 0.125, False), ("prm_1", 2, 30, 0.75, True)],
    }
    shown = house.services.projects.get(project.id).usage
    assert (shown.input, shown.output, shown.cost) == (found.total.input, found.total.output, found.total.cost)
    text = render.plain("projects.usage", found)
    assert text.splitlines()[0] == "total · 4 calls · 150 tokens in · 300 out · $0.88 (estimated)"
    assert "1970-01-02 · 2 calls" in text


def test_a_project_that_used_nothing(house: House) -> None:
    ada, _ = house.person("ada")
    project = running(house, ada.id, "a tea page")
    found: ProjectUsage = do(house, ada, "projects.usage", project=project.id)
    assert found.total.calls == 0
    assert found.models == found.days == found.prompts == []


def test_the_end_of_the_log(house: House) -> None:
    ada, _ = house.person("ada")
    project = running(house, ada.id, "a tea page")
    file = LogFile(house.services.projects.log_file(project.id))
    for number in range(60):
        file.append("app", f"line {number}")
        file.append("host", f"did {number}")
    found: LogTail = do(house, ada, "logs.tail", project=project.id)
    assert found.text.splitlines() == [line for n in range(35, 60) for line in (f"[app] line {n}", f"[host] did {n}")]
    assert found.next_offset == file.end()
    found = do(house, ada, "logs.tail", project=project.id, source="host", limit=2)
    assert found.text == "[host] did 58\n[host] did 59"
    for wrong in ({"limit": 0}, {"limit": 1001}, {"source": "agent"}):
        with pytest.raises(BadRequest):
            do(house, ada, "logs.tail", project=project.id, **wrong)


def test_logs_in_words(house: House) -> None:
    ada, headers = house.person("ada")
    project = running(house, ada.id, "a tea page")
    LogFile(house.services.projects.log_file(project.id)).append("app", "one\ntwo\nthree")
    said = house.http.post("/api/words", json={"text": "/doce logs —n 2"}, headers=headers).json()
    assert said["action"] == "logs.tail"
    assert said["text"].startswith("[app] two\n[app] three (on tea-page")


def test_how_this_doce_is(house: House) -> None:
    ada, _ = house.person("ada")
    running(house, ada.id, "a tea page")
    found: Condition = do(house, ada, "health.details")
    assert (found.ok, found.problems, found.paused) == (True, [], False)
    assert found.last_event == log.head() > 0
    assert found.jobs["queued"] == 1
    assert found.database_size > 0
    assert found.free_disk > 0
    jobs.pause()
    found = do(house, ada, "health.details")
    assert found.ok is False
    assert found.problems == ["The queue is paused: no job begins."]
    assert render.plain("health.details", found).startswith("The queue is paused")


def test_health_counts_viewers(house: House) -> None:
    ada, headers = house.person("ada")
    project = running(house, ada.id, "a tea page")
    raw = house.connect(f"/api/projects/{project.id}/opencode/event", headers)
    raw.until(b": connected\n\n")
    house.until(lambda: house.services.feed.readers == 1)
    assert house.http.get("/api/health/details", headers=headers).json()["viewers"] == 1
    assert set(house.http.get("/api/health").json()) == {"ok", "version"}
