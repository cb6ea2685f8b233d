"""Rows against what runs: what heals, what is given up, what is left alone."""

from __future__ import annotations

import itertools
import os

import pytest

from doce.db.models import Port
from doce.health import deaths
from doce.projects.status import ProjectStatus, PromptState
from doce.projects.views import ProjectView
from doce.queue.enqueue import enqueue
from doce.queue.types import DockerStop, ProductionBuild
from doce.upkeep.reconciler import Reconciler
from doce.upkeep.tending import LAST_PAUSE_MS, pause_ms

from .scene import Scene

PREVIEW, OPENCODE = "preview", "opencode"


def heal(*services: str) -> tuple[str, dict[str, object]]:
    return "docker.ensureRunning", {"reason": "presence", "services": list(services)}


@pytest.fixture
def reconciler(scene: Scene) -> Reconciler:
    return Reconciler(scene.work, scene.requests)


def running(scene: Scene, slug: str = "tea") -> ProjectView:
    project = scene.project(slug=slug)
    scene.runtime.runs(project.id, PREVIEW, OPENCODE)
    return project


def test_what_runs_is_left_alone(scene: Scene, reconciler: Reconciler) -> None:
    project = running(scene)
    reconciler.look_at_everything()
    assert scene.jobs(project) == []
    assert scene.runtime.asked == []


def test_each_service_is_started_again_after_a_pause_of_its_own(scene: Scene, reconciler: Reconciler) -> None:
    project = running(scene)
    scene.runtime.dies(project.id, PREVIEW)
    reconciler.look(project.id)
    assert scene.jobs(project) == [], "not before its pause"
    assert scene.store.get(project.id).step == "starting the preview again"
    scene.clock.advance(ms=pause_ms(1) - 1)
    scene.runtime.dies(project.id, OPENCODE)
    reconciler.look(project.id)
    assert scene.jobs(project) == []
    scene.clock.advance(ms=1)
    reconciler.look(project.id)
    assert scene.jobs(project) == [heal(PREVIEW)], "the agent has its own pause"
    scene.done(project)
    scene.runtime.runs(project.id, PREVIEW, life=2)
    scene.clock.advance(ms=pause_ms(1))
    reconciler.look(project.id)
    assert scene.jobs(project) == [heal(OPENCODE)]
    scene.done(project)
    scene.runtime.runs(project.id, OPENCODE, life=2)
    reconciler.look(project.id)
    assert (scene.store.get(project.id).status, scene.store.get(project.id).step) == (ProjectStatus.RUNNING, None)


def test_pauses_grow_and_a_start_that_does_nothing_is_not_hammered(scene: Scene, reconciler: Reconciler) -> None:
    project = running(scene)
    scene.runtime.dies(project.id, PREVIEW)
    reconciler.look(project.id)
    tried = []
    for second in range(300):
        scene.clock.advance(s=1)
        reconciler.look(project.id)
        if scene.jobs(project):
            tried.append(second)
            scene.done(project)
    gaps = [after - before for before, after in itertools.pairwise(tried)]
    assert gaps == sorted(gaps)
    assert len(tried) <= 12
    assert max(gaps) <= LAST_PAUSE_MS // 1000
    assert scene.store.get(project.id).status is ProjectStatus.RUNNING, "it died once"


def test_repeated_deaths_are_an_error_with_the_reason_from_the_log(scene: Scene, reconciler: Reconciler) -> None:
    project = running(scene)
    log = scene.log(project)
    log.append("app", "preview | Error: Cannot find module 'sharp'\nopencode | error: not me\npreview | at line 3")
    for life in range(1, deaths.MOST + 1):
        scene.runtime.runs(project.id, PREVIEW, life=life)
        reconciler.look(project.id)
        scene.runtime.dies(project.id, PREVIEW)
        reconciler.look(project.id)
        scene.done(project)
        scene.clock.advance(s=20)
        reconciler = Reconciler(scene.work, scene.requests)  # a restart of doce forgets no death
    broken = scene.store.get(project.id)
    assert broken.status is ProjectStatus.ERROR
    assert broken.error == (
        "The preview ended 5 times within ten minutes. Its log says: preview | Error: Cannot find module 'sharp'"
    )  # fmt: skip
    assert broken.error_hint == "`doce logs tea` says why; `doce start tea` tries again."
    assert scene.jobs(project) == []
    reconciler.look(project.id)
    assert ("stop", project.id) in scene.runtime.asked, "an agent without its preview is ended too"
    assert deaths.of_last_day(project.id, now_ms=scene.clock.now_ms()) == {}, "a person's start begins anew"


def test_deaths_far_apart_are_no_reason_to_give_up(scene: Scene, reconciler: Reconciler) -> None:
    project = running(scene)
    for life in range(1, 3 * deaths.MOST):
        scene.runtime.runs(project.id, OPENCODE, life=life)
        reconciler.look(project.id)
        scene.runtime.dies(project.id, OPENCODE)
        reconciler.look(project.id)
        scene.clock.advance(s=180)
    assert scene.store.get(project.id).status is ProjectStatus.RUNNING
    assert deaths.of_last_day(project.id, now_ms=scene.clock.now_ms()) == {OPENCODE: 3 * deaths.MOST - 1}


def test_the_agents_death_interrupts_the_turn_and_the_previews_does_not(scene: Scene, reconciler: Reconciler) -> None:
    project = running(scene)
    prompt = scene.prompts.add(project.id, None, "a gallery")
    scene.prompts.intend(prompt.id, message_id="msg_1", session_id="ses_1")
    scene.prompts.mark_sent(prompt.id)
    scene.runtime.dies(project.id, PREVIEW)
    reconciler.look(project.id)
    assert scene.prompts.get(prompt.id).state is PromptState.SENT
    scene.runtime.dies(project.id, OPENCODE)
    reconciler.look(project.id)
    assert scene.prompts.get(prompt.id).state is PromptState.INTERRUPTED


def test_a_service_removed_by_hand_comes_back(scene: Scene, reconciler: Reconciler) -> None:
    project = running(scene)
    del scene.runtime.states[project.id][PREVIEW]
    reconciler.look(project.id)
    scene.clock.advance(ms=pause_ms(1))
    reconciler.look(project.id)
    assert scene.jobs(project) == [heal(PREVIEW)]


def test_an_absent_engine_is_looked_for_once_and_everything_comes_back_with_it(scene: Scene, reconciler: Reconciler) -> None:
    first, second = running(scene), running(scene, "coffee")
    stopped = scene.project(ProjectStatus.STOPPED, slug="milk", stopped_by_user=True)
    scene.runtime.away = "Docker does not answer."
    for _ in range(20):
        reconciler.look_at_everything()
    for project in (first, second):
        waiting = scene.store.get(project.id)
        assert (waiting.status, waiting.step) == (ProjectStatus.STARTING, "waiting: Docker does not answer. Start it.")
        assert waiting.preview_url is None
        assert scene.jobs(project) == [], "nothing is tried while it is away"
    scene.runtime.away = None
    reconciler.look_at_everything()
    for project in (first, second):
        assert scene.jobs(project) == [("docker.composeUp", {"reason": "user", "preserveProduction": True})]
    assert scene.jobs(stopped) == []


def test_what_should_not_run_is_stopped_and_production_is_left(scene: Scene, reconciler: Reconciler) -> None:
    stopped, live = scene.project(ProjectStatus.STOPPED, stopped_by_user=True), scene.project(ProjectStatus.STOPPED, slug="live")
    scene.runtime.runs(stopped.id, OPENCODE)
    scene.runtime.runs(live.id, "web")
    reconciler.look_at_everything()
    assert scene.runtime.asked == [("stop", stopped.id)]


def test_what_no_row_knows_is_removed(scene: Scene, reconciler: Reconciler) -> None:
    project = running(scene)
    scene.runtime.runs("prj_gone", PREVIEW)
    Port.create(port=41555, project_id="prj_gone", service=PREVIEW, created_at=0)
    Port.create(port=41556, project_id=project.id, service=PREVIEW, created_at=0)
    old, young, kept = (scene.settings.projects / name for name in ("prj_old", "prj_young", project.id))
    deployed, served = (scene.settings.production / name for name in ("prj_old", project.id))
    for folder in (old, young, kept, deployed, served):
        (folder / "workspace").mkdir(parents=True)
    (old / "workspace" / "link").symlink_to(kept / "workspace")
    (kept / "workspace" / "page").write_text("mine")
    now = scene.clock.now_ms() / 1000
    for folder, age in ((old, 3600), (young, 5), (kept, 3600), (deployed, 3600), (served, 3600)):
        os.utime(folder, (now - age, now - age))
    reconciler.look_at_everything()
    assert scene.runtime.asked == [("destroy", "prj_gone")]
    assert [row.port for row in Port.select()] == [41556]
    assert not old.exists()
    assert not deployed.exists()
    assert young.exists()
    assert served.exists()
    assert (kept / "workspace" / "page").read_text() == "mine"


def test_a_deployment_is_nobodys_reason_to_wait_and_other_work_is(scene: Scene, reconciler: Reconciler) -> None:
    project = running(scene)
    scene.prompts.add(project.id, None, "a gallery")
    enqueue(ProductionBuild(project_id=project.id, requested_by="usr_a", snapshot="HEAD"), clock=scene.clock)
    reconciler.look(project.id)
    assert [type_ for type_, _ in scene.jobs(project)] == ["production.build", "opencode.sendUserPrompt"]
    scene.done(project)
    enqueue(DockerStop(project_id=project.id, reason="user"), clock=scene.clock)
    reconciler.look(project.id)
    assert [type_ for type_, _ in scene.jobs(project)] == ["docker.stop"]


def test_one_process_heals_another_waits_until_it_is_gone(scene: Scene) -> None:
    from doce.upkeep.shift import Shift

    gone: set[str] = set()
    one, two = (Shift("reconciler", name, ttl_s=15, clock=scene.clock, is_gone=lambda holder: holder in gone) for name in "ab")
    assert one.mine()
    assert not two.mine()
    scene.clock.advance(s=14)
    assert one.mine()
    scene.clock.advance(s=14)
    assert not two.mine()
    scene.clock.advance(s=1)
    assert two.mine(), "silent for too long"
    assert not one.mine()
    gone.add("b")
    assert one.mine(), "a holder that is gone is gone at once"
    one.end()
    assert two.mine()
