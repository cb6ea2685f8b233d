from __future__ import annotations

import threading
from typing import Any

import pytest

from doce.actions.catalog import actions
from doce.actions.registry import perform, understand
from doce.auth.users import Person
from doce.errors import BadRequest, Conflict, DoceError, Forbidden, NotFound, Unavailable
from doce.events import log
from doce.events.vocabulary import PermissionRequested, QuestionItem, QuestionRequested
from doce.projects.status import ProjectStatus, PromptState
from doce.projects.views import ProjectView
from doce.queue import jobs
from tests.web.house import House

from .conftest import running


class Scene:
    """A running project whose agent is played."""

    def __init__(self, house: House) -> None:
        self.house = house
        house.person("root", "admin")
        self.owner, _ = house.person("ada")
        self.project = running(house, self.owner.id, "a teahouse page")

    def do(self, name: str, person: Person | None = None, **values: Any) -> Any:
        chosen = actions()[name]
        return perform(chosen, self.house.services, person or self.owner, understand(chosen, {"project": self.project.id, **values}))

    def sent(self) -> str:
        """The first prompt, now with the agent, which works on it."""
        self.house.agent.answers.append("msg_1")
        return self.taken()

    def taken(self) -> str:
        """The first prompt, on its way into the agent."""
        prompts = self.house.services.prompts
        prompt = prompts.next(self.project.id)
        assert prompt
        prompts.intend(prompt.id, message_id="msg_1", session_id="ses_1")
        prompts.mark_sent(prompt.id)
        return prompt.id

    def asked(self, request_id: str = "per_1") -> str:
        payload = PermissionRequested(request_id=request_id, permission="bash", patterns=["ls"], title="ls")
        log.append(payload, project_id=self.project.id)
        return request_id

    def questioned(self) -> str:
        questions = [QuestionItem(question="Which colour?"), QuestionItem(question="Which font?")]
        log.append(QuestionRequested(request_id="que_1", questions=questions), project_id=self.project.id)
        return "que_1"

    def resolved(self) -> list[dict[str, Any]]:
        events = log.of_types(self.project.id, ("chat.permission.resolved", "chat.question.resolved"))
        return [event.payload for event in events]

    def now(self) -> ProjectView:
        return self.house.services.projects.get(self.project.id)


@pytest.fixture
def scene(house: House) -> Scene:
    return Scene(house)


# Stop


def test_stop_ends_the_turn_and_remembers_who_asked(scene: Scene) -> None:
    prompt = scene.sent()
    stopped = scene.do("agent.stop")
    assert (stopped.stopped, scene.house.agent.told) == ("turn", [("abort", "ses_1")])
    assert scene.house.services.prompts.get(prompt).stopped_by == scene.owner.id
    scene.house.services.prompts.end(prompt, PromptState.FAILED)
    assert scene.house.services.prompts.get(prompt).state is PromptState.STOPPED
    assert scene.now().status is ProjectStatus.RUNNING


def test_stop_is_remembered_before_the_agent_is_told(scene: Scene) -> None:
    prompt = scene.sent()
    seen: list[str | None] = []
    scene.house.agent.meanwhile = lambda: seen.append(scene.house.services.prompts.get(prompt).stopped_by)
    scene.do("agent.stop")
    assert set(seen) == {scene.owner.id}


def test_stop_with_the_agent_away_is_remembered(scene: Scene) -> None:
    prompt = scene.sent()
    scene.house.agent.refuses = Unavailable("The coding agent cannot be reached.")
    assert scene.do("agent.stop").stopped == "turn"
    assert scene.house.services.prompts.get(prompt).stopped_by == scene.owner.id


def test_stop_of_one_that_is_being_sent_waits_for_the_agent_to_have_it(scene: Scene) -> None:
    prompts = scene.house.services.prompts
    prompt = prompts.next(scene.project.id)
    assert prompt
    prompts.intend(prompt.id, message_id="msg_1", session_id="ses_1")
    assert scene.do("agent.stop").stopped == "turn"
    assert scene.house.agent.told == []
    assert prompts.wants_stop(scene.project.id)


def test_stop_of_one_that_the_agent_gets_ready_for_waits_until_it_works(scene: Scene) -> None:
    """An OpenCode that is aborted while it starts answers no prompt any more; the relay aborts when it is at work."""
    scene.taken()
    assert scene.do("agent.stop").stopped == "turn"
    assert scene.house.agent.told == []
    assert scene.house.services.prompts.wants_stop(scene.project.id)


def test_stop_with_no_turn_stops_the_project_and_then_says_there_is_nothing(scene: Scene) -> None:
    assert scene.do("agent.stop").stopped == "project"
    assert scene.house.agent.told == []
    assert "docker.stop" in [job.type for job in jobs.active(scene.project.id)]
    assert scene.now().stopped_by_user
    while scene.now().status is not ProjectStatus.STOPPED:
        following = {ProjectStatus.RUNNING: ProjectStatus.STOPPING, ProjectStatus.STOPPING: ProjectStatus.STOPPED}
        scene.house.store.set_status(scene.project.id, following[scene.now().status])
    with pytest.raises(Conflict, match="Nothing is running"):
        scene.do("agent.stop")


# Send now


def test_send_now_goes_to_the_front_and_ends_the_step(scene: Scene) -> None:
    scene.sent()
    first = scene.do("prompts.add", text="make it dark")
    second = scene.do("prompts.add", text="make it light")
    scene.do("prompts.sendNow", prompt=second.id)
    waiting = scene.house.services.prompts.next(scene.project.id)
    assert waiting
    assert waiting.id == second.id
    assert scene.house.agent.told == [("abort", "ses_1")]
    with pytest.raises(NotFound):
        scene.do("prompts.sendNow", prompt="prm_nothing")
    scene.do("prompts.remove", prompt=first.id)
    for name in ("prompts.sendNow", "prompts.remove"):
        with pytest.raises(Conflict, match="no longer waits"):
            scene.do(name, prompt=first.id)
    with pytest.raises(Conflict, match="no longer waits"):
        scene.do("prompts.edit", prompt=first.id, text="other")


def test_send_now_with_nothing_going_on_aborts_nothing(scene: Scene) -> None:
    second = scene.do("prompts.add", text="make it light")
    scene.do("prompts.sendNow", prompt=second.id)
    assert scene.house.agent.told == []


def test_a_prompt_of_another_project_is_not_there(scene: Scene) -> None:
    other = running(scene.house, scene.owner.id, "bread bakery news")
    prompt = scene.house.services.prompts.next(other.id)
    assert prompt
    for name, more in (("prompts.edit", {"text": "x"}), ("prompts.remove", {}), ("prompts.sendNow", {})):
        with pytest.raises(NotFound):
            scene.do(name, prompt=prompt.id, **more)


# Permissions and questions


def test_an_answer_reaches_the_agent_and_the_log_once(scene: Scene) -> None:
    request = scene.asked()
    assert [item["requestId"] for item in scene.do("requests.list").items] == [request]
    assert scene.do("permissions.answer", request=request, reply="once").message == "Allowed once."
    assert scene.house.agent.told == [("permission", request, "once", None)]
    assert scene.resolved() == [{"requestId": request, "reply": "once", "by": scene.owner.id}]
    assert scene.do("requests.list").items == []
    with pytest.raises(Conflict, match="already answered: once"):
        scene.do("permissions.answer", request=request, reply="reject")
    assert len(scene.house.agent.told) == 1


def test_of_two_answers_at_once_the_first_wins(scene: Scene) -> None:
    for number in range(5):
        race(scene, scene.asked(f"per_{number}"))


def race(scene: Scene, request: str) -> None:
    barrier = threading.Barrier(2)
    results: dict[str, object] = {}

    def answer(reply: str) -> None:
        barrier.wait()
        try:
            results[reply] = scene.do("permissions.answer", request=request, reply=reply)
        except DoceError as error:
            results[reply] = error

    threads = [threading.Thread(target=answer, args=(reply,)) for reply in ("once", "reject")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    won = [reply for reply, result in results.items() if not isinstance(result, DoceError)]
    assert len(won) == 1
    assert [type(result) for result in results.values() if isinstance(result, DoceError)] == [Conflict]
    assert [told[2] for told in scene.house.agent.told if told[1] == request] == won
    assert [payload["reply"] for payload in scene.resolved() if payload["requestId"] == request] == won


def test_an_answer_that_is_on_its_way_keeps_others_out(scene: Scene) -> None:
    request = scene.asked()
    refused: list[DoceError] = []

    def meanwhile() -> None:
        scene.house.agent.meanwhile = lambda: None
        with pytest.raises(Conflict) as caught:
            scene.do("permissions.answer", request=request, reply="reject")
        refused.append(caught.value)

    scene.house.agent.meanwhile = meanwhile
    scene.do("permissions.answer", request=request, reply="always")
    assert len(refused) == 1
    assert [payload["reply"] for payload in scene.resolved()] == ["always"]


def test_with_the_agent_away_nothing_is_answered_and_it_can_be_tried_again(scene: Scene) -> None:
    request = scene.asked()
    scene.house.agent.refuses = Unavailable("The coding agent cannot be reached.")
    with pytest.raises(Unavailable):
        scene.do("permissions.answer", request=request, reply="once")
    assert scene.resolved() == []
    scene.house.agent.refuses = None
    scene.do("permissions.answer", request=request, reply="once")
    assert len(scene.resolved()) == 1


def test_an_agent_that_no_longer_waits_is_said(scene: Scene) -> None:
    request = scene.asked()
    scene.house.agent.refuses = NotFound("no such permission")
    with pytest.raises(Conflict, match="no longer waits"):
        scene.do("permissions.answer", request=request, reply="once")
    assert scene.resolved() == [{"requestId": request, "reply": "gone"}]
    assert scene.do("requests.list").items == []


def test_what_was_not_asked_is_not_there(scene: Scene) -> None:
    with pytest.raises(NotFound):
        scene.do("permissions.answer", request="per_9", reply="once")
    with pytest.raises(NotFound):
        scene.do("permissions.answer", request=scene.questioned(), reply="once")
    with pytest.raises(NotFound):
        scene.do("questions.answer", request=scene.asked(), answers=[["a"]])


def test_questions(scene: Scene) -> None:
    request = scene.questioned()
    for wrong in ([], [["red"]], [["red"], []], [["red"], [" "]], [["red"], ["a"], ["b"]]):
        with pytest.raises(BadRequest, match="2 questions"):
            scene.do("questions.answer", request=request, answers=wrong)
    assert scene.do("questions.answer", request=request, answers=[[" red ", "blue"], ["serif", ""]]).message == "Answered."
    assert scene.house.agent.told == [("question", request, [["red", "blue"], ["serif"]])]
    assert scene.resolved() == [{"requestId": request, "reply": "answered", "answers": [["red", "blue"], ["serif"]], "by": scene.owner.id}]
    with pytest.raises(Conflict):
        scene.do("questions.answer", request=request)


def test_a_question_can_be_refused(scene: Scene) -> None:
    request = scene.questioned()
    assert scene.do("questions.answer", request=request).message == "Refused."
    assert scene.house.agent.told == [("reject", request)]
    assert scene.resolved()[0]["reply"] == "rejected"


def test_nobody_else_answers(scene: Scene) -> None:
    eve, _ = scene.house.person("eve")
    request = scene.asked()
    for name, more in (("permissions.answer", {"reply": "once"}), ("questions.answer", {}), ("requests.list", {}), ("agent.stop", {})):
        values = {**more, **({"request": request} if "answer" in name else {})}
        with pytest.raises(Forbidden):
            scene.do(name, eve, **values)
    assert scene.house.agent.told == []
