"""What projects take is measured without following links; what takes too much is stopped and told why."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import peewee
import pytest

from doce.events import log as events
from doce.projects.status import ProjectStatus, PromptState
from doce.queue.enqueue import enqueue
from doce.queue.types import OpencodeSendUserPrompt
from doce.upkeep import disk
from doce.upkeep.disk import DiskWatch, measure

from .scene import Scene

MIB = 1024 * 1024


def fill(path: Path, mib: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(round(mib * MIB)))
    return path


@pytest.fixture
def small(db: peewee.SqliteDatabase, tmp_path: Path) -> Scene:
    db.execute_sql("PRAGMA foreign_keys = OFF")
    return Scene(tmp_path, project_disk=5)


def test_links_are_not_followed_and_a_file_counts_once(tmp_path: Path) -> None:
    outside = fill(tmp_path / "outside" / "big", 9)
    root = tmp_path / "project"
    file = fill(root / "workspace" / "deep" / "file", 2)
    (root / "again").hardlink_to(file)
    (root / "file-link").symlink_to(outside)
    (root / "folder-link").symlink_to(outside.parent)
    (root / "loop").symlink_to(root)
    (root / "nowhere").symlink_to("/no/such/thing")
    assert 2 * MIB <= measure(root) < 2.2 * MIB
    assert measure(tmp_path / "none") == 0


def test_a_hole_is_not_what_it_seems(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(10 * 2**30)
    assert measure(tmp_path) < MIB


def test_measuring_rests_and_can_be_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "STRIDE", 10)
    for number in range(100):
        (tmp_path / str(number)).write_text("x")
    rests: list[float] = []
    whole = measure(tmp_path, lambda seconds: bool(rests.append(seconds)))
    assert len(rests) == 10
    assert measure(tmp_path, lambda seconds: True) < whole


def test_a_project_above_its_limit_loses_its_agent_and_says_why(small: Scene) -> None:
    project, other = small.project(), small.project(slug="other")
    for one in (project, other):
        small.runtime.runs(one.id, "preview", "opencode")
    prompt = small.prompts.add(project.id, None, "fill the disk")
    small.prompts.intend(prompt.id, message_id="msg_1", session_id="ses_1")
    small.prompts.mark_sent(prompt.id)
    enqueue(OpencodeSendUserPrompt(project_id=project.id), clock=small.clock)
    fill(small.work.layout(project.id).workspace / "big", 6)
    fill(small.work.layout(other.id).workspace / "fine", 4)
    DiskWatch(small.work).look()
    told = small.store.get(project.id)
    assert told.status is ProjectStatus.ERROR
    assert told.error == "tea takes 6 MiB of disk; 5 is the most. The agent was stopped; everything written so far is kept."
    assert "doce start tea" in (told.error_hint or "")
    assert small.runtime.asked == [("stop", project.id, "opencode")]
    assert small.prompts.get(prompt.id).state is PromptState.INTERRUPTED
    assert [type_ for type_, _ in small.jobs(project)] in ([], ["opencode.sendUserPrompt"]), "what comes next finds no running project"
    last = events.of_types(project.id, ("project.status",))[-1]
    assert (last.payload["status"], last.payload["error"]) == ("error", told.error)
    assert "[host] stopped the agent: tea takes" in small.log(project).read().text
    assert small.store.get(other.id).status is ProjectStatus.RUNNING


def test_it_is_measured_once_a_minute_and_at_once_when_the_disk_fills(small: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    project = small.project()
    measured: list[Path] = []
    free = [100_000 * MIB]
    monkeypatch.setattr(disk, "measure", lambda root, rest: measured.append(root) or 1)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: SimpleNamespace(free=free[0]))
    watch = DiskWatch(small.work)
    for _ in range(12):
        watch.look()
        small.clock.advance(s=5)
    assert measured == [small.work.layout(project.id).root]
    watch.look()
    assert len(measured) == 2
    free[0] -= MIB
    small.clock.advance(s=5)
    watch.look()
    assert len(measured) == 3


def test_a_machine_with_too_little_left_stops_every_agent(db: peewee.SqliteDatabase, tmp_path: Path) -> None:
    db.execute_sql("PRAGMA foreign_keys = OFF")
    small = Scene(tmp_path, min_free_mb=10**9)
    first, second, stopped = small.project(), small.project(slug="two"), small.project(ProjectStatus.STOPPED, slug="three")
    for one in (first, second):
        small.runtime.runs(one.id, "preview", "opencode")
    DiskWatch(small.work).look()
    for one in (first, second):
        assert "almost full" in (small.store.get(one.id).error or "")
    assert small.runtime.asked == [("stop", first.id, "opencode"), ("stop", second.id, "opencode")]
    assert small.store.get(stopped.id).status is ProjectStatus.STOPPED
