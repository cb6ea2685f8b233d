from __future__ import annotations

import pytest

from doce.errors import Conflict, NotFound
from doce.events import log as events
from doce.events.vocabulary import FileChanged, MessageFinal, Tokens
from doce.projects.status import PromptState
from doce.queue import jobs

from .conftest import Office


def sent(office: Office) -> tuple[str, str]:
    """A project whose first prompt is with the agent: (project id, prompt id)."""
    project = office.projects.create("usr_1", "a site")
    jobs.cancel_project(project.id)
    prompt = office.prompts.next(project.id)
    assert prompt is not None
    office.prompts.intend(prompt.id, message_id=f"msg_{prompt.id}", session_id="ses_1")
    office.prompts.mark_sent(prompt.id)
    return project.id, prompt.id


def test_one_prompt_a_project_is_with_the_agent(office: Office) -> None:
    project_id, _ = sent(office)
    second = office.prompts.add(project_id, "usr_1", "more")
    with pytest.raises(Exception, match="UNIQUE"):
        office.prompts.intend(second.id, message_id="msg_2", session_id="ses_1")


def test_order_edit_remove_and_to_front(office: Office) -> None:
    project_id, _ = sent(office)
    a, b, c = (office.prompts.add(project_id, "usr_1", text) for text in "abc")
    office.prompts.to_front(c.id)
    office.prompts.edit(a.id, "A")
    office.prompts.remove(b.id)
    order = []
    while waiting := office.prompts.next(project_id):
        order.append(waiting.text)
        office.prompts.remove(waiting.id)
    assert order == ["c", "A"]
    with pytest.raises(Conflict, match="no longer waits"):
        office.prompts.edit(b.id, "B")
    with pytest.raises(NotFound):
        office.prompts.remove("prm_nothing")


def test_the_end_is_told_once_with_what_the_turn_came_to_and_lets_the_next_go(office: Office) -> None:
    project_id, prompt_id = sent(office)
    for number, path in enumerate(["index.html", "styles.css", "index.html"]):
        events.append(FileChanged(path=path), project_id=project_id, prompt_id=prompt_id, source_key=str(number))
    for number in range(2):
        final = MessageFinal(message_id=f"m{number}", text="", tokens=Tokens(input=10, output=1), cost=0.5)
        events.append(final, project_id=project_id, prompt_id=prompt_id)
    office.clock.advance(s=2)
    assert office.prompts.end(prompt_id, PromptState.COMPLETED)
    assert not office.prompts.end(prompt_id, PromptState.FAILED, reason="late")
    (end,) = events.of_types(project_id, ("chat.prompt.completed", "chat.prompt.failed"))
    assert end.payload["durationMs"] == 2000
    assert end.payload["files"] == ["index.html", "styles.css"]
    assert (end.payload["tokens"]["input"], end.payload["cost"]) == (20, 1.0)
    assert [job.type for job in jobs.active(project_id)] == ["opencode.sendUserPrompt"]


def test_an_end_that_a_person_asked_for_is_stopped(office: Office) -> None:
    project_id, prompt_id = sent(office)
    office.prompts.request_stop(prompt_id, "usr_2")
    wanted = office.prompts.wants_stop(project_id)
    assert wanted is not None
    office.prompts.end(prompt_id, PromptState.FAILED, reason="aborted")
    prompt = office.prompts.get(prompt_id)
    assert (prompt.state, prompt.stopped_by, prompt.error) == (PromptState.STOPPED, "usr_2", None)
    assert office.prompts.wants_stop(project_id) is None


def test_a_turn_that_ends_before_the_call_returned_was_sent_first(office: Office) -> None:
    project = office.projects.create("usr_1", "a site")
    prompt = office.prompts.next(project.id)
    assert prompt is not None
    office.prompts.intend(prompt.id, message_id="msg_1", session_id="ses_1")
    office.prompts.end(prompt.id, PromptState.COMPLETED)
    assert office.prompts.mark_sent(prompt.id).state is PromptState.COMPLETED
    told = [event.type for event in events.after(project.id, 0) if event.type.startswith("chat.prompt")]
    assert told == ["chat.prompt.queued", "chat.prompt.sent", "chat.prompt.completed"]


def test_in_doubt_is_interrupted_and_never_told_as_sent(office: Office) -> None:
    project = office.projects.create("usr_1", "a site")
    prompt = office.prompts.next(project.id)
    assert prompt is not None
    office.prompts.intend(prompt.id, message_id="msg_1", session_id="ses_1")
    office.prompts.end(prompt.id, PromptState.INTERRUPTED, reason="in doubt")
    told = [event.type for event in events.after(project.id, 0) if event.type.startswith("chat.prompt")]
    assert told == ["chat.prompt.queued", "chat.prompt.interrupted"]


def test_a_prompt_knows_where_its_turn_begins_in_the_log(office: Office) -> None:
    project_id, _ = sent(office)
    second = office.prompts.add(project_id, "usr_1", "more")
    first = next(iter(events.after(project_id, second.seq - 1)))
    assert (first.type, first.prompt_id) == ("chat.prompt.queued", second.id)
