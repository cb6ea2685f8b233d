"""Who is watching, told from rows, over the real HTTP door where that matters."""

from __future__ import annotations

import threading
from pathlib import Path

import peewee
import pytest

from doce.clock import ManualClock
from doce.db.models import Project
from doce.errors import NotFound
from doce.events import log as events
from doce.events.vocabulary import PermissionRequested, PermissionResolved
from doce.presence import viewers
from doce.presence.presence import Presence
from doce.projects.prompts import PromptStore
from doce.projects.requests import Requests
from doce.projects.status import ProjectStatus
from doce.projects.store import ProjectStore
from doce.projects.views import ProjectView
from doce.queue import jobs
from doce.queue.types import JobState
from doce.settings import Settings
from doce.upkeep.reaper import Reaper

STALE_MS, IDLE_S = 30_000, 300


class Stage:
    def __init__(self, folder: Path) -> None:
        self.settings = Settings(data=folder / "data", min_free_mb=0)
        self.clock = ManualClock()
        self.store = ProjectStore(self.settings, self.clock)
        self.prompts = PromptStore(self.clock)
        self.starting = {"preview": True, "opencode": False}
        self.presence = Presence(self.clock, store=self.store, stale_s=30, ready=lambda project: self.starting)
        self.requests = Requests(self.clock, store=self.store, agent=lambda project_id: None)  # type: ignore[arg-type,return-value]
        self.reaper = self.new_reaper()

    def new_reaper(self) -> Reaper:
        return Reaper(self.settings, self.clock, store=self.store, requests=self.requests)

    def project(self, status: ProjectStatus = ProjectStatus.RUNNING, *, slug: str = "tea", by_user: bool = False) -> ProjectView:
        made = self.store.insert(
            id=f"prj_{slug}", owner_user_id="usr_a", name=slug, slug=slug, prompt="x", template="static", model="rehearsal/x",
            path="/nowhere", stopped_by_user=by_user,
        )  # fmt: skip
        Project.update(status=status.value, preview_port=41000, opencode_port=42000).where(Project.id == made.id).execute()
        return self.store.get(made.id)

    def jobs(self, project: ProjectView) -> list[str]:
        return [job.type for job in jobs.active(project.id)]

    def done(self, project: ProjectView) -> None:
        """Whatever was queued has run."""
        for job in jobs.active(project.id):
            jobs.cancel(job.id, clock=self.clock)

    def counts(self, project: ProjectView) -> list[int]:
        return [event.payload["count"] for event in events.of_types(project.id, ("viewer.count",))]

    def rounds(self, seconds: float) -> None:
        """The reaper's rounds over this time."""
        for _ in range(round(seconds / 30)):
            self.clock.advance(s=30)
            self.reaper.look()


@pytest.fixture
def stage(db: peewee.SqliteDatabase, tmp_path: Path) -> Stage:
    db.execute_sql("PRAGMA foreign_keys = OFF")
    return Stage(tmp_path)


def test_a_heartbeat_is_a_viewer_and_tells_the_state(stage: Stage) -> None:
    project = stage.project()
    told = stage.presence.touch(project.id, "tab-1", "usr_a", "web")
    assert told.model_dump() == {
        "status": "running", "viewer_count": 1, "preview_url": "http://127.0.0.1:41000", "preview_ready": True, "opencode_ready": True,
        "message": "It runs.", "next_poll_ms": 10_000,
    } | {"preview_url": told.preview_url}  # fmt: skip
    assert told.preview_url is not None
    assert "41000" in told.preview_url
    assert stage.presence.touch(project.id, "tab-2", "usr_b", "web").viewer_count == 2
    assert stage.presence.touch(project.id, "tab-1", "usr_a", "web").viewer_count == 2
    assert stage.counts(project) == [1, 2]
    assert stage.store.get(project.id).last_viewed_at == stage.clock.now_ms()
    with pytest.raises(NotFound):
        stage.presence.touch("prj_none", "tab-1", "usr_a", "web")


def test_what_starts_says_which_service_is_ready(stage: Stage) -> None:
    project = stage.project(ProjectStatus.STARTING)
    told = stage.presence.touch(project.id, "tab", None, "web")
    assert (told.preview_ready, told.opencode_ready, told.preview_url, told.next_poll_ms) == (True, False, None, 1_000)


def test_viewers_go_stale_and_that_is_told(stage: Stage) -> None:
    project = stage.project()
    stage.reaper.look()
    stage.presence.touch(project.id, "one", None, "web")
    stage.clock.advance(ms=STALE_MS - 1)
    stage.presence.touch(project.id, "two", None, "web")
    assert stage.counts(project) == [1, 2]
    stage.clock.advance(ms=1)
    stage.reaper.look()
    assert stage.counts(project) == [1, 2, 1]
    stage.clock.advance(ms=STALE_MS)
    stage.reaper.look()
    stage.reaper.look()
    assert stage.counts(project) == [1, 2, 1, 0]


@pytest.mark.parametrize("status", [ProjectStatus.STOPPED, ProjectStatus.STOPPING])
def test_the_first_viewer_wakes_what_idleness_stopped_once(stage: Stage, status: ProjectStatus) -> None:
    project = stage.project(status)
    told = stage.presence.touch(project.id, "one", None, "web")
    stage.presence.touch(project.id, "two", None, "web")
    assert [(job.type, job.values()["reason"]) for job in jobs.active(project.id)] == [("docker.ensureRunning", "presence")]
    assert told.next_poll_ms == 1_000


@pytest.mark.parametrize("status", [ProjectStatus.STOPPED, ProjectStatus.STOPPING])
def test_what_a_person_stopped_stays_so(stage: Stage, status: ProjectStatus) -> None:
    project = stage.project(status, by_user=True)
    told = stage.presence.touch(project.id, "one", None, "web")
    assert stage.jobs(project) == []
    if status is ProjectStatus.STOPPED:
        assert told.message == "Somebody stopped it; `doce start tea` starts it."
        assert told.next_poll_ms == 10_000


@pytest.mark.parametrize("status", [ProjectStatus.ERROR, ProjectStatus.RUNNING, ProjectStatus.STARTING, ProjectStatus.DELETING])
def test_a_viewer_starts_nothing_else(stage: Stage, status: ProjectStatus) -> None:
    project = stage.project(status)
    stage.presence.touch(project.id, "one", None, "web")
    assert stage.jobs(project) == []


def test_nobody_for_five_minutes_lets_it_sleep(stage: Stage) -> None:
    project = stage.project()
    stage.reaper.look()
    stage.presence.touch(project.id, "one", None, "web")
    stage.rounds(IDLE_S - 30)
    assert stage.jobs(project) == []
    stage.rounds(60)
    assert [(job.type, job.values()["reason"], job.state) for job in jobs.active(project.id)] == [("docker.stop", "idle", JobState.QUEUED)]


def test_somebody_keeps_it_awake(stage: Stage) -> None:
    project = stage.project()
    for _ in range(30):
        stage.presence.touch(project.id, "one", None, "web")
        stage.rounds(30)
    assert stage.jobs(project) == []


def test_zero_is_never(stage: Stage) -> None:
    project = stage.project()
    stage.settings = stage.settings.model_copy(update={"idle_s": 0})
    stage.reaper = stage.new_reaper()
    stage.rounds(100_000)
    assert stage.jobs(project) == []


@pytest.mark.parametrize("state", ["queued", "sending", "sent"])
def test_work_keeps_it_awake_and_counts_as_the_last_sign(stage: Stage, state: str, db: peewee.SqliteDatabase) -> None:
    project = stage.project()
    prompt = stage.prompts.add(project.id, None, "a gallery")
    db.execute_sql("UPDATE prompts SET state = ? WHERE id = ?", (state, prompt.id))
    stage.done(project)
    stage.rounds(3 * IDLE_S)
    assert stage.jobs(project) == []
    db.execute_sql("UPDATE prompts SET state = 'completed', finished_at = ? WHERE id = ?", (stage.clock.now_ms(), prompt.id))
    stage.rounds(IDLE_S - 30)
    assert stage.jobs(project) == []
    stage.rounds(30)
    assert stage.jobs(project) == ["docker.stop"]


def test_an_open_question_keeps_it_awake(stage: Stage) -> None:
    project = stage.project()
    asked = PermissionRequested(request_id="per_1", permission="bash", title="rm", patterns=["rm"], expires_at=0)
    events.append(asked, project_id=project.id)
    stage.rounds(3 * IDLE_S)
    assert stage.jobs(project) == []
    events.append(PermissionResolved(request_id="per_1", reply="once"), project_id=project.id)
    stage.rounds(30)
    assert stage.jobs(project) == ["docker.stop"]


def test_after_a_restart_viewers_first_get_time_to_come_back(stage: Stage) -> None:
    """doce was away for an hour: nobody could give a sign, so nobody's silence counts yet."""
    project = stage.project()
    stage.presence.touch(project.id, "one", None, "web")
    stage.clock.advance(s=3600)
    stage.reaper = stage.new_reaper()
    stage.reaper.look()
    assert stage.jobs(project) == []
    stage.clock.advance(s=10)
    stage.presence.touch(project.id, "one", None, "web")
    stage.rounds(IDLE_S - 30)
    assert stage.jobs(project) == []
    stage.rounds(60)
    assert stage.jobs(project) == ["docker.stop"]


def test_after_a_sleep_of_the_machine_too(stage: Stage) -> None:
    project = stage.project()
    stage.reaper.look()
    stage.presence.touch(project.id, "one", None, "web")
    stage.rounds(30)
    stage.clock.advance(s=8 * 3600)
    stage.reaper.look()
    assert stage.jobs(project) == []
    stage.rounds(30)
    assert stage.jobs(project) == ["docker.stop"]


def test_streams_count_by_themselves(stage: Stage) -> None:
    """A visit is written down by a thread, at once, and struck out when the stream closes."""
    project = stage.project()
    changed = threading.Event()
    stop = events.bell.listen(changed.set)
    stage.presence.start()

    def until(count: int) -> None:
        for _ in range(50):
            if viewers.count(project.id, now_ms=stage.clock.now_ms(), stale_ms=STALE_MS) == count:
                return
            changed.wait(0.2)
            changed.clear()
        raise AssertionError(stage.counts(project))

    one = stage.presence.enter(project.id, "usr_a")
    until(1)
    tab, same_tab = (stage.presence.enter(project.id, "usr_a", viewer_id="tab") for _ in range(2))
    until(2)
    stage.presence.leave(tab)
    stage.presence.leave(tab)
    stage.presence.leave(one)
    until(1)
    assert stage.counts(project)[-1] == 1
    gone = stage.presence.enter("prj_none", "usr_a")
    stage.presence.leave(gone)
    stage.presence.stop()
    assert viewers.count(project.id, now_ms=stage.clock.now_ms(), stale_ms=STALE_MS) == 0, "whoever is left at the end has left"
    assert same_tab.told
    stop()


def test_rows_of_deleted_projects_go_without_a_word(stage: Stage) -> None:
    project = stage.project()
    stage.presence.touch(project.id, "one", None, "web")
    stage.store.update(project.id, deleted_at=1)
    stage.clock.advance(ms=STALE_MS)
    stage.reaper.look()
    assert viewers.with_stale(now_ms=stage.clock.now_ms(), stale_ms=0) == []
    assert stage.counts(project) == [1]
