from __future__ import annotations

from collections import namedtuple

import pytest

from doce.errors import BadRequest, Conflict, DoceError, NotFound, PayloadTooLarge, Unavailable
from doce.events import log as events
from doce.projects import lifecycle
from doce.projects.attachments import Upload
from doce.projects.status import PROJECT_TRANSITIONS, PROMPT_TRANSITIONS, ProjectStatus, PromptState
from doce.queue import jobs
from doce.queue.types import JobState

from .conftest import Office

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20


def types(project_id: str) -> list[str]:
    return [job.type for job in jobs.active(project_id)]


def test_create_answers_at_once_with_a_row_a_prompt_and_a_job(office: Office) -> None:
    project = office.projects.create("usr_1", "  Please build me a portfolio for a ceramicist in Lisbon\r\n")
    assert (project.name, project.slug) == ("Portfolio Ceramicist Lisbon", "portfolio-ceramicist-lisbon")
    assert project.status is ProjectStatus.CREATED
    assert project.prompt == "Please build me a portfolio for a ceramicist in Lisbon"
    assert types(project.id) == ["project.create"]
    waiting = office.prompts.next(project.id)
    assert waiting is not None
    assert waiting.text == project.prompt
    assert [event.type for event in events.after(project.id, 0)] == ["project.status", "chat.prompt.queued", "job.state"]


@pytest.mark.parametrize(
    ("prompt", "says"),
    [("", "empty"), (" \n\t ", "empty"), ("x" * 40_000, "40,000"), ("a\0b", "U+0000 at 2"), ("a\x1b[2J", "U+001B"), ("\ud800", "U+D800")],
)
def test_a_prompt_that_cannot_be_sent_says_why_and_leaves_nothing(office: Office, prompt: str, says: str) -> None:
    with pytest.raises(BadRequest, match=says.replace("+", r"\+")) as caught:
        office.projects.create("usr_1", prompt)
    assert caught.value.hint
    assert office.projects.list(None).items == []
    assert jobs.list() == ()


def test_any_language_is_text(office: Office) -> None:
    for prompt in ("陶芸家のためのポートフォリオ", "сайт для пекарни", "🎈🧶", "<script>alert(1)</script>", "x" * 32_000):
        project = office.projects.create("usr_1", prompt)
        assert project.name
        assert project.slug.isascii()


def test_unknown_template_and_model_name_what_there_is(office: Office) -> None:
    with pytest.raises(BadRequest, match="no template 'statik'") as caught:
        office.projects.create("usr_1", "a site", template="statik")
    assert "static" in (caught.value.hint or "")
    with pytest.raises(BadRequest, match="no model"):
        office.projects.create("usr_1", "a site", model="nobody/nothing")


def test_a_real_model_without_isolation_must_be_asked_for(office: Office) -> None:
    with pytest.raises(BadRequest, match="does not isolate") as caught:
        office.projects.create("usr_1", "a site", model="openai/real")
    assert "DOCE_RUNTIME=process" in (caught.value.hint or "")
    office.isolates[0] = True
    assert office.projects.create("usr_1", "a site", model="openai/real").model == "openai/real"


def test_a_full_disk_starts_nothing(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(lifecycle.shutil, "disk_usage", lambda path: usage(0, 0, 10 * 1024 * 1024))
    projects = lifecycle.Projects(
        office.settings.model_copy(update={"min_free_mb": 100}), office.clock, store=office.store, prompts=office.prompts,
        models=office.projects._models, isolates=lambda: False,
    )  # fmt: skip
    with pytest.raises(Unavailable, match="10 MiB are free, 100 are needed"):
        projects.create("usr_1", "a site")
    assert projects.list(None).items == []


def test_slugs_are_unique_among_live_projects(office: Office) -> None:
    slugs = [office.projects.create("usr_1", "a bakery", name="Bäckerei " + "x" * 48).slug for _ in range(3)]
    assert slugs[0].startswith("backerei-x")
    assert slugs[1].endswith("-2")
    assert slugs[2].endswith("-3")
    assert all(len(slug) <= 50 for slug in slugs)
    first = office.projects.find("usr_1", slugs[0])
    office.store.update(first.id, deleted_at=1)
    assert office.projects.create("usr_1", "a bakery", name="Bäckerei " + "x" * 48).slug == slugs[0]


def test_find_by_id_slug_prefix_or_name(office: Office) -> None:
    one = office.projects.create("usr_1", "ceramic portfolio")
    two = office.projects.create("usr_1", "cerveza menu")
    office.projects.create("usr_2", "ceramic secret")
    assert office.projects.find("usr_1", one.id).id == one.id
    assert office.projects.find("usr_1", "CERVEZA MENU").id == two.id
    assert office.projects.find("usr_1", "cerv").id == two.id
    assert office.projects.find("usr_1", "http://x/ceramic-portfolio/").id == one.id
    with pytest.raises(Conflict) as caught:
        office.projects.find("usr_1", "cer")
    assert "ceramic-portfolio" in (caught.value.hint or "")
    with pytest.raises(NotFound, match="'foo'"):
        office.projects.find("usr_1", "foo")
    with pytest.raises(NotFound):
        office.projects.find("usr_1", "")
    assert [project.id for project in office.projects.list("usr_1", limit=1).items] == [two.id]
    page = office.projects.list("usr_1", limit=1)
    assert [project.id for project in office.projects.list("usr_1", limit=5, before=page.next).items] == [one.id]


def test_stop_cancels_what_goes_on_and_start_takes_it_up(office: Office) -> None:
    project = office.projects.create("usr_1", "a site")
    assert office.projects.stop(project.id).status is ProjectStatus.STOPPING
    assert types(project.id) == ["docker.stop"]
    office.store.set_status(project.id, ProjectStatus.STOPPED)
    with pytest.raises(Conflict, match="already stopped"):
        office.projects.stop(project.id)
    jobs.cancel(jobs.active(project.id)[0].id)
    office.projects.start(project.id)
    assert types(project.id) == ["project.create"]


def test_a_prompt_wakes_a_project_that_sleeps(office: Office) -> None:
    project = office.projects.create("usr_1", "a site")
    jobs.cancel_project(project.id)
    (office.projects.layout(project.id).workspace / ".git").mkdir(parents=True)
    office.store.set_status(project.id, ProjectStatus.ERROR, error="broken")
    prompt = office.projects.prompt(project.id, "usr_1", "make it blue")
    assert prompt.state is PromptState.QUEUED
    assert types(project.id) == ["docker.composeUp"]
    again = office.store.get(project.id)
    assert (again.status, again.error, again.queued_prompts) == (ProjectStatus.STARTING, None, 2)


def test_delete_cancels_everything_and_nothing_can_be_asked_after(office: Office) -> None:
    project = office.projects.create("usr_1", "a site")
    office.projects.delete(project.id, "usr_1")
    office.projects.delete(project.id, "usr_1")
    assert types(project.id) == ["project.delete"]
    assert [job.state for job in jobs.list(type="project.create")] == [JobState.CANCELLED]
    for ask in (office.projects.start, office.projects.stop):
        with pytest.raises(Conflict, match="being deleted"):
            ask(project.id)
    with pytest.raises(Conflict):
        office.projects.prompt(project.id, "usr_1", "hello")


def test_transitions_are_checked_exhaustively(office: Office) -> None:
    for current, following in PROJECT_TRANSITIONS.items():
        for target in ProjectStatus:
            project = office.projects.create("usr_1", "a site")
            office.store.update(project.id, status=current.value)
            if target is current or target in following:
                office.store.set_status(project.id, target)
                assert office.store.get(project.id).status is target
            else:
                with pytest.raises(Conflict):
                    office.store.set_status(project.id, target)
    assert set(PROJECT_TRANSITIONS) == set(ProjectStatus)
    assert set(PROMPT_TRANSITIONS) == set(PromptState)


def test_attachments_are_what_they_say(office: Office) -> None:
    good = [Upload("../../logo.png", "image/png", PNG), Upload("notes", "application/json", b'{"a": 1}')]
    project = office.projects.create("usr_1", "use my logo", attached=good)
    folder = office.projects.layout(project.id).attachments
    assert sorted(path.read_bytes() for path in folder.iterdir()) == sorted([PNG, b'{"a": 1}'])
    bad: list[tuple[Upload, type[DoceError]]] = [
        (Upload("x.png", "image/png", b"GIF89a"), BadRequest),
        (Upload("x.png", "image/png", PNG + b"\0" * (1024 * 1024)), PayloadTooLarge),
        (Upload("x.txt", "text/plain", b"a" * (512 * 1024 + 1)), PayloadTooLarge),
        (Upload("x.mov", "video/quicktime", b"\0\0\0\x14ftyp"), BadRequest),
    ]
    for upload, error in bad:
        with pytest.raises(error, match=r"x\."):
            office.projects.create("usr_1", "use it", attached=[upload])
    with pytest.raises(BadRequest, match="6 files"):
        office.projects.create("usr_1", "use it", attached=[good[0]] * 6)
    assert len(office.projects.list("usr_1").items) == 1
