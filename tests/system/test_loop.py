"""The main job, for real: OpenCode edits a site while doce watches, and nothing that goes wrong is lost on anybody."""

from __future__ import annotations

import socket
import threading

import pytest

from doce.client.reading import Event
from doce.errors import BadRequest, Conflict, NotFound

from .house import House, check_log, ended_prompt, running

pytestmark = [pytest.mark.system, pytest.mark.slow]


@pytest.fixture(scope="module")
def site(home: House) -> str:
    """A project whose first turn is done."""
    project, events = home.create("a lighthouse keeper's diary with a gallery")
    check_log(events)
    assert events[-1].type == "chat.prompt.completed"
    return project


def last_seq(home: House, project: str) -> int:
    return max(event.seq for event in home.doce.events(project, follow=False))


def test_a_sentence_becomes_a_page_about_its_words(home: House, site: str) -> None:
    page = home.page(site)
    assert "Lighthouse" in page
    assert "Gallery" in page
    types = {event.type for event in home.doce.events(site, follow=False)}
    assert {"chat.reasoning.part", "chat.message.part.added", "chat.tool.start", "chat.tool.finish", "chat.tool.error"} <= types
    assert {"chat.file.changed", "chat.message.final", "chat.todo.updated", "chat.usage", "chat.prompt.completed"} <= types
    shown = home.doce.project(site)
    assert shown["userPromptCompleted"]
    assert shown["usage"]["output"] > 100


def test_a_follow_up_changes_the_page_that_is_there(home: House, site: str) -> None:
    prompt, events = home.ask(site, "make it dark and add a price list")
    assert prompt["state"] == "completed"
    assert {"public/index.html", "public/styles.css"} == set(events[-1].payload["files"])
    assert "Prices" in home.page(site)
    assert "color-scheme: dark;" in home.page(site, "styles.css")


def test_prompts_wait_their_turn_and_can_be_edited_removed_and_moved(home: House, site: str) -> None:
    after = last_seq(home, site)
    first = home.doce.chat(site, "[[rehearse slow 30]] [[rehearse only: one two three four five six seven eight nine ten]]")
    second, third, fourth = (home.doce.chat(site, f"[[rehearse only: {word}]]") for word in ("second", "third", "fourth"))
    home.doce.request("PATCH", f"/api/projects/{site}/prompts/{second['id']}", body={"text": "[[rehearse only: edited]]"})
    home.doce.request("DELETE", f"/api/projects/{site}/prompts/{third['id']}")
    events = home.until(site, lambda event: ended_prompt(event) and event.prompt_id == fourth["id"], after=after)
    sent = [event.prompt_id for event in events if event.type == "chat.prompt.sent"]
    assert sent == [first["id"], second["id"], fourth["id"]]
    finals = [event.payload["text"] for event in events if event.type == "chat.message.final"]
    assert finals[1:] == ["edited", "fourth"]
    with pytest.raises(Conflict, match="no longer waits"):
        home.doce.request("PATCH", f"/api/projects/{site}/prompts/{second['id']}", body={"text": "late"})


def test_stop_ends_the_turn_and_keeps_what_was_said(home: House, site: str) -> None:
    after = last_seq(home, site)
    prompt = home.doce.chat(site, "[[rehearse slow 40]] [[rehearse long 5000]]")
    home.until(site, lambda event: event.type == "chat.message.part.added" and event.prompt_id == prompt["id"], after=after)
    assert home.doce.stop(site)["stopped"] == "turn"
    events = home.until(site, ended_prompt, after=after, timeout_s=10)
    assert events[-1].type == "chat.prompt.stopped"
    check_log(events)
    said = next(event.payload["text"] for event in events if event.type == "chat.message.final")
    assert said
    assert said[:18] == "A very long answer"[: len(said)], "however far it had come"
    following, _ = home.ask(site, "[[rehearse only: still here]]")
    assert following["state"] == "completed"


def test_a_stop_right_after_the_prompt_is_not_lost(home: House, site: str) -> None:
    for _ in range(2):
        after = last_seq(home, site)
        prompt = home.doce.chat(site, "[[rehearse slow 30]] [[rehearse long 4000]]")
        home.until(site, lambda event: event.type == "chat.prompt.sent", after=after)
        home.doce.stop(site)
        events = home.until(site, ended_prompt, after=after, timeout_s=20)
        assert (events[-1].type, events[-1].prompt_id) == ("chat.prompt.stopped", prompt["id"])
        sent = next(event.time for event in events if event.type == "chat.prompt.sent")
        assert events[-1].time - sent < 6000, "also an agent that never began is not waited for"


@pytest.mark.parametrize(
    "fault", ["500", pytest.param("429", marks=pytest.mark.nightly), "break", pytest.param("error", marks=pytest.mark.nightly)]
)
def test_a_model_that_fails_once_is_asked_again(home: House, site: str, fault: str) -> None:
    after = last_seq(home, site)
    prompt = home.doce.chat(site, f"[[rehearse {fault}]] [[rehearse long 3000]]")
    events = home.until(site, ended_prompt, after=after)
    check_log(events)
    assert home.prompt(site, prompt["id"])["state"] == "completed"
    assert "retry" in {event.payload["status"] for event in events if event.type == "chat.session.status"}
    if fault in ("break", "error"):
        assert any(event.type == "chat.message.discarded" for event in events)
    finals = [event.payload["text"] for event in events if event.type == "chat.message.final"]
    assert len(finals[-1]) == 3000


def test_a_refused_key_fails_the_turn_and_says_so(home: House, site: str) -> None:
    prompt, _ = home.ask(site, "[[rehearse 401]] hello")
    assert prompt["state"] == "failed"
    assert "not valid" in prompt["error"]


def test_a_permission_waits_for_the_first_answer(home: House, site: str) -> None:
    after = last_seq(home, site)
    prompt = home.doce.chat(site, "[[rehearse ask]] look outside, then add a contact form")
    asked = home.until(site, lambda event: event.type == "chat.permission.requested", after=after)[-1].payload
    assert asked["permission"] == "external_directory"
    assert asked["expiresAt"] > 0
    results: list[str] = []

    def answer(reply: str) -> None:
        try:
            home.doce.answer_permission(site, asked["requestId"], reply)
            results.append(reply)
        except Conflict:
            results.append("late")

    threads = [threading.Thread(target=answer, args=("once",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["late", "late", "late", "once"]
    events = home.until(site, lambda event: ended_prompt(event) and event.prompt_id == prompt["id"], after=after)
    (resolved,) = [event.payload for event in events if event.type == "chat.permission.resolved"]
    assert (resolved["reply"], resolved["by"]) == ("once", home.doce.request("GET", "/api/me")["id"])
    assert events[-1].type == "chat.prompt.completed"
    with pytest.raises(NotFound):
        home.doce.answer_permission(site, "per_nothing", "once")


def test_a_question_is_answered_and_the_answer_used(home: House, site: str) -> None:
    after = last_seq(home, site)
    home.doce.chat(site, "[[rehearse question]] which colour?")
    asked = home.until(site, lambda event: event.type == "chat.question.requested", after=after)[-1].payload
    with pytest.raises(BadRequest):
        home.doce.answer_question(site, asked["requestId"], [["Blue"], ["Green"]])
    home.doce.answer_question(site, asked["requestId"], [["Blue"]])
    events = home.until(site, ended_prompt, after=after)
    assert events[-1].type == "chat.prompt.completed"
    assert "--hue: 216;" in home.page(site, "styles.css")


def test_a_sub_agent_and_tools_side_by_side_are_told_apart(home: House, site: str) -> None:
    for wish in ("subagent", "parallel"):
        after = last_seq(home, site)
        home.doce.chat(site, f"[[rehearse {wish}]] add a newsletter")
        events = home.until(site, ended_prompt, after=after)
        check_log(events)
        assert events[-1].type == "chat.prompt.completed"
        if wish == "subagent":
            assert {"chat.subagent.started", "chat.subagent.finished"} <= {event.type for event in events}


def test_bad_prompts_are_refused_with_one_clear_error_and_change_nothing(home: House, site: str) -> None:
    before = last_seq(home, site)
    for text in ("", "x" * 40_000, "a\u0000b"):
        with pytest.raises(BadRequest):
            home.doce.chat(site, text)
        with pytest.raises(BadRequest):
            home.doce.create(text)
    for options in ({"template": "nope"}, {"model": "nobody/nothing"}):
        with pytest.raises(BadRequest) as caught:
            home.doce.create("a site", **options)
        assert caught.value.hint
    # The turn before may still have a job to end; of prompts nothing is told.
    told = [event for event in home.doce.events(site, after=before, follow=False) if event.type.startswith("chat.")]
    assert told == []


def test_an_agent_that_dies_in_mid_turn_is_told_and_comes_back(home: House, site: str) -> None:
    after = last_seq(home, site)
    prompt = home.doce.chat(site, "[[rehearse slow 40]] [[rehearse long 6000]]")
    home.until(site, lambda event: event.type == "chat.message.part.added", after=after)
    for process in home.agents(site):
        process.kill()
    events = home.until(site, ended_prompt, after=after, timeout_s=20)
    assert (events[-1].type, events[-1].prompt_id) == ("chat.prompt.interrupted", prompt["id"])
    home.until(site, running, after=events[-1].seq)
    following, _ = home.ask(site, "[[rehearse only: back again]]")
    assert following["state"] == "completed"
    check_log(list(home.doce.events(site, follow=False)))


def test_stop_start_and_delete_leave_nothing_behind(home: House) -> None:
    project, _ = home.create("a tea house")
    home.doce.request("POST", f"/api/projects/{project}/halt")
    home.until(project, lambda event: event.type == "project.status" and event.payload["status"] == "stopped", timeout_s=15)
    assert home.agents(project) == home.agents(project, "preview") == []
    prompt, _ = home.ask(project, "[[rehearse only: woken by a prompt]]")
    assert prompt["state"] == "completed"
    home.doce.delete(project)
    home.until(project, lambda event: event.type == "project.deleted", timeout_s=20)
    assert home.agents(project) == home.agents(project, "preview") == []
    assert not (home.folder / "projects" / project).exists()
    with pytest.raises(NotFound):
        home.doce.project(project)


def stopped(event: Event) -> bool:
    return event.type == "project.status" and event.payload["status"] == "stopped"


def test_a_site_that_does_not_start_says_why_and_a_retry_works(home: House, site: str) -> None:
    after = last_seq(home, site)
    home.doce.request("POST", f"/api/projects/{site}/halt")
    home.until(site, stopped, after=after, timeout_s=15)
    server = home.folder / "projects" / site / "workspace" / "dev-server.mjs"
    working = server.read_text()
    server.write_text("throw new Error('the oven is cold')\n")
    after = last_seq(home, site)
    home.doce.start(site)
    failed = home.until(site, lambda event: event.type == "project.status" and event.payload["status"] == "error", after=after)[-1]
    assert "The preview ended with exit code 1" in failed.payload["error"]
    assert "the oven is cold" in failed.payload["error"]
    assert "doce start" in failed.payload["hint"]
    assert home.doce.project(site)["status"] == "error"
    server.write_text(working)
    home.doce.start(site)
    home.until(site, running, after=failed.seq)
    assert "Lighthouse" in home.page(site)


def test_a_port_that_somebody_took_meanwhile_is_changed(home: House, site: str) -> None:
    after = last_seq(home, site)
    home.doce.request("POST", f"/api/projects/{site}/halt")
    home.until(site, stopped, after=after, timeout_s=15)
    taken = home.doce.project(site)["previewPort"]
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", taken))
        other.listen()
        after = last_seq(home, site)
        home.doce.start(site)
        home.until(site, running, after=after)
        assert home.doce.project(site)["previewPort"] != taken
        assert "Lighthouse" in home.page(site)


def test_the_command_line_says_the_same_as_http(home: House, site: str) -> None:
    with pytest.raises(BadRequest) as caught:
        home.doce.chat(site, "x" * 40_000)
    said = home.command("chat", site, "x" * 40_000, check=False)
    assert said.returncode == 1
    assert caught.value.message in said.stderr
    listed = home.command("list").stdout
    assert "running" in listed
    assert "\x1b" not in listed
