"""What runs and what it uses, as numbers and in words."""

from __future__ import annotations

import pytest

from doce.actions import render
from doce.health import deaths
from doce.projects.status import ProjectStatus
from doce.stacks.usage import Meter
from doce.upkeep.monitor import Monitor

from .scene import Scene


def test_the_services_of_every_project_and_doce_itself(scene: Scene) -> None:
    project, asleep = scene.project(), scene.project(ProjectStatus.STOPPED, slug="asleep")
    scene.runtime.runs(project.id, "preview", "opencode")
    scene.runtime.dies(project.id, "opencode", 137)
    deaths.note(project.id, "opencode", now_ms=scene.clock.now_ms(), window_ms=1000)
    found = Monitor(scene.settings, scene.clock, runtime=scene.runtime).look([project, asleep])
    opencode, running = found.projects[0].services
    assert (opencode.state, opencode.exit_code, opencode.cpu, opencode.memory, opencode.restarts) == ("exited", 137, None, None, 1)
    assert (running.state, running.cpu, running.memory, running.restarts) == ("running", 12.5, 64 * 2**20, 0)
    assert found.projects[1].services == []
    assert found.problem is None
    assert found.doce.memory > 10 * 2**20
    assert found.doce.database_size > 0
    words = render.plain("monitor.show", found).splitlines()
    assert words[0].startswith("doce ")
    assert words[1:] == [
        "tea · running", "  opencode · exited (137) · restarted 1× today", "  preview · running · 12 % cpu · 64 MiB", "asleep · stopped",
    ]  # fmt: skip


def test_with_the_engine_away_it_says_so_and_still_answers(scene: Scene) -> None:
    project = scene.project()
    scene.runtime.away = "Docker does not answer."
    found = Monitor(scene.settings, scene.clock, runtime=scene.runtime).look([project, project])
    assert found.problem == "Docker does not answer. Start it."
    assert [one.services for one in found.projects] == [[], []]


def test_percent_is_of_one_processor_since_the_look_before() -> None:
    meter = Meter()
    assert meter.percent("a", 5.0, at_s=110.0, since_s=100.0) == pytest.approx(50)
    assert meter.percent("a", 7.0, at_s=111.0, since_s=100.0) == pytest.approx(200)
    assert meter.percent("a", 7.0, at_s=112.0, since_s=100.0) == 0
    assert meter.percent("a", 1.0, at_s=113.0, since_s=112.0) == pytest.approx(100), "another one with the same name"
