"""Dialogs: opened in time, for those who may, and what they ask done once."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from doce.events import vocabulary as said
from doce.llm.catalog import Model
from doce.projects.status import ProjectStatus
from doce.projects.views import ProjectView
from doce.testing.slack import Seen, refused

from .surface_house import House, running, words

pytestmark = pytest.mark.slow

KEY = "--token=sk-secret1234567890abcd"


class Agent:
    """Notes what it is answered, in place of OpenCode."""

    def __init__(self) -> None:
        self.answers: list[Any] = []

    def reply_question(self, request_id: str, answers: Any) -> None:
        self.answers.append((request_id, answers))

    def reply_permission(self, request_id: str, reply: str, message: str | None) -> None:
        self.answers.append((request_id, reply, message))

    def reject_question(self, request_id: str) -> None:
        self.answers.append((request_id, None))


def test_a_new_site_from_the_dialog_of_a_command(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        slack = house.slack
        command = await slack.slash("ada", "#sites", "/doce", "new")
        view = await house.dialog("ada", 3)
        assert command.seconds < 1
        assert view.title == "New site"
        sent = await slack.submit("ada", view, {"prompt": "a bakery in Porto", "name": "Pão", "template": "static"})
        assert sent.acked
        assert not view.open
        card = (await slack.until(lambda _: slack.messages("#sites")))[0]
        assert "Pão" in card.shown
        assert f"<@{house.user('ada').id}>" in str(card.blocks)
        made = house.services.projects.list(house.ada.id).items[0]
        assert (made.name, made.prompt, made.template) == ("Pão", "a bakery in Porto", "static")

    running(scenario, tmp_path)


def test_a_new_site_is_told_directly_when_that_is_wished(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        slack = house.slack
        await slack.slash("ada", "#sites", "/doce", "")
        view = await house.dialog("ada")
        await slack.submit("ada", view, {"prompt": "a bakery in Porto", "where": "direct"})
        direct = slack.world.direct(house.user("ada"))
        await slack.until(lambda _: slack.messages(direct))
        assert not slack.messages("#sites")
        # What `/doce` alone has always told lies below the dialog.
        assert "doce makes sites" in (await house.told("ada", "/doce help")).shown

    running(scenario, tmp_path)


def test_the_global_shortcut_asks_for_a_channel(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        slack = house.slack
        await slack.shortcut("ben", "doce:new")
        view = await house.dialog("ben")
        secret = slack.channel("#secret")
        told = await slack.submit("ben", view, {"prompt": "a bakery in Porto", "place": secret.id})
        assert told.acked
        assert "/invite" in view.errors["place"]
        await slack.submit("ben", view, {"place": slack.channel("#general").id})
        assert not view.open
        await slack.until(lambda _: slack.messages("#general"))

    running(scenario, tmp_path)


def test_what_is_wrong_is_said_beside_its_field_and_nothing_is_made(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        slack = house.slack
        await slack.shortcut("ada", "doce:new")
        view = await house.dialog("ada")
        view.raw["blocks"][3]["element"]["options"].append({"text": {"type": "plain_text", "text": "x"}, "value": "nobody/none"})
        await slack.submit("ada", view, {"prompt": "   .", "name": "  \u200b", "model": "nobody/none"})
        assert view.open
        assert "nobody" in view.errors["model"]
        assert not house.services.projects.list(house.ada.id).items

    running(scenario, tmp_path)


def test_somebody_whom_doce_does_not_know_gets_no_dialog(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        slack = house.slack
        await slack.slash("cleo", "#sites", "/doce", "new")
        await house.told("cleo", "/doce link")
        assert slack.modal("cleo") is None

    running(scenario, tmp_path)


def test_a_dialog_that_cannot_be_opened_any_more_is_told_with_words(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        slack = house.slack
        slack.faults.add("views.open", refused("expired_trigger_id"), times=2)
        await slack.slash("ada", "#sites", "/doce", "new")
        told = await house.told("ada", "/doce new a portfolio")
        await slack.click("ada", house.message(told), "doce:new")
        await house.told("ada", "could not open the dialog")
        await slack.click("ada", house.message(told), "doce:new")
        assert (await house.dialog("ada")).title == "New site"

    running(scenario, tmp_path)


def test_all_questions_of_a_request_are_answered_in_one_dialog(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        slack, agent = house.slack, Agent()
        house.agent(agent)
        card, project = await house.made()
        prompt = house.services.prompts.next(project.id)
        assert prompt
        house.turn(prompt, end=False)
        house.ask(project, prompt, said.QuestionRequested(request_id="que_1", questions=[
            said.QuestionItem(question="Which colours?", header="Look", options=[said.QuestionOption(label="Warm", description="reds"),
                              said.QuestionOption(label="Cold")]),
            said.QuestionItem(question="Which pages?", multiple=True,
                              options=[said.QuestionOption(label=f"Page {n}") for n in range(12)], custom=False),
            said.QuestionItem(question="Anything else?"),
        ]))  # fmt: skip
        asked = await slack.until(lambda _: next((one for one in slack.thread("#sites", card.ts) if "Answer…" in one.shown), None))
        await slack.click("cleo", house.message(asked), "doce:other")
        await house.told("cleo", "/doce link")
        await slack.click("ada", house.message(asked), "doce:other")
        view = await house.dialog("ada")
        assert "Which pages?" in words(view)
        await slack.submit("ada", view, {"q1": ["0", "11"], "o2": "No."})
        assert view.open
        assert "q0" in view.errors
        await slack.submit("ada", view, {"o0": "As the sea at noon"})
        assert not view.open
        await slack.until(lambda _: any("✅ Answered" in one.shown for one in slack.thread("#sites", card.ts)))
        assert agent.answers == [("que_1", [["As the sea at noon"], ["Page 0", "Page 11"], ["No."]])]

    running(scenario, tmp_path)


async def permission_asked(house: House, agent: Agent) -> tuple[Seen, ProjectView]:
    """The agent of a project of ada's asks whether it may delete something, and ada is about to say no: the card and the project."""
    slack = house.slack
    house.agent(agent)
    card, project = await house.made()
    prompt = house.services.prompts.next(project.id)
    assert prompt
    house.turn(prompt, end=False)
    house.ask(project, prompt, said.PermissionRequested(request_id="per_1", permission="bash", patterns=["rm *"], title="rm -rf dist"))
    asked = await slack.until(lambda _: next((one for one in slack.thread("#sites", card.ts) if "Deny and say…" in one.shown), None))
    await slack.click("ada", house.message(asked), "doce:deny_say")
    return card, project


def test_deny_and_say_what_to_do_instead(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        slack, agent = house.slack, Agent()
        card, _ = await permission_asked(house, agent)
        first = await house.dialog("ada")
        await slack.submit("ada", first, {"text": "Keep it, write over it."})
        await slack.until(lambda _: any("⛔ Denied" in one.shown for one in slack.thread("#sites", card.ts)))
        assert agent.answers == [("per_1", "reject", "Keep it, write over it.")]

    running(scenario, tmp_path)


def test_an_answer_that_somebody_else_gave_first_is_said_in_the_dialog(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        slack, agent = house.slack, Agent()
        _, project = await permission_asked(house, agent)
        view = await house.dialog("ada")
        house.services.requests.answer_permission(project.id, "per_1", "once", house.ada.id)
        await slack.submit("ada", view, {"text": "No."})
        assert "already answered" in view.errors["text"]
        assert agent.answers == [("per_1", "once", None)]

    running(scenario, tmp_path)


def test_rolling_back_with_the_picker(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        slack = house.slack
        card, project = await house.made()
        house.ready(project)
        await slack.until(lambda _: slack.messages("#sites")[0].shown)
        for _ in range(3):
            house.deployed(project)
        card = await slack.until(lambda _: next((one for one in slack.messages("#sites") if "live v3" in one.shown), None))
        await slack.click("ada", house.message(card), "doce:rollback")
        view = await house.dialog("ada")
        assert "v3 · live" in str(view.raw)
        await slack.submit("ada", view, {"version": "v3"})
        assert "online already" in view.errors["version"]
        await slack.submit("ada", view, {"version": "v1"})
        assert not view.open
        job = await house.until(lambda: next((one for one in house.jobs(project) if one.type == "production.rollback"), None))
        assert job.values()["productionHash"] == house.services.productions.releases.find(project.id, "v1").hash

    running(scenario, tmp_path)


def test_only_who_may_gets_the_dialog_and_only_who_still_may_is_heard(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        slack = house.slack
        card, project = await house.made()
        await slack.click("ben", house.message(card), "doce:menu", f"rename:{project.id}")
        await house.told("ben", "somebody else's")
        house.services.members.set(project.id, house.ben.id, "editor")
        await slack.click("ben", house.message(card), "doce:menu", f"delete:{project.id}")
        await house.told("ben", "this takes its owner")
        await slack.click("ben", house.message(card), "doce:menu", f"rename:{project.id}")
        view = await house.dialog("ben")
        house.services.members.set(project.id, house.ben.id, "viewer")
        await slack.submit("ben", view, {"name": "Mine now"})
        assert "takes an editor" in view.errors["name"]
        assert house.services.projects.get(project.id).name == project.name

    running(scenario, tmp_path)


def test_rename_model_and_delete_from_the_menu_of_the_card(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        slack = house.slack
        card, project = await house.made()
        house.ready(project)
        await slack.click("ada", house.message(card), "doce:menu", f"rename:{project.id}")
        await slack.submit("ada", await house.dialog("ada"), {"name": "Pão & Café <3"})
        await slack.until(lambda _: "Pão & Café <3" in slack.messages("#sites")[0].shown)
        await slack.click("ada", house.message(card), "doce:menu", f"model:{project.id}")
        view = await house.dialog("ada")
        assert "rehearsal/site-builder" in str(view.raw)
        await slack.submit("ada", view, {"model": "rehearsal/site-builder"})
        await house.told("ada", "next message on")
        await slack.click("ada", house.message(card), "doce:menu", f"delete:{project.id}")
        view = await house.dialog("ada")
        await slack.submit("ada", view, {"name": "something"})
        assert project.slug in view.errors["name"]
        await slack.submit("ada", view, {"name": project.slug})
        await house.told("ada", "is being deleted")
        assert house.services.projects.get(project.id).status is ProjectStatus.DELETING

    running(scenario, tmp_path)


def test_the_details_of_a_turn_and_its_log_as_a_file(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        slack = house.slack
        card, project = await house.made()
        prompt = house.services.prompts.next(project.id)
        assert prompt
        house.turn(
            prompt,
            said.ToolStart(tool_call_id="t1", name="bash", title="Install", input={"command": f"npm i {KEY}"}),
            said.ToolFinish(tool_call_id="t1", name="bash", title="Install", output="added 9", metadata={"exit": 1}),
            said.FileChanged(path="src/index.html", additions=24, deletions=3),
            said.MessageFinal(message_id="m1", text="The bakery is **made**.", finish="stop"),
        )  # fmt: skip
        turn = await slack.until(lambda _: next((one for one in slack.thread("#sites", card.ts) if "Details" in one.shown), None))
        await slack.click("ada", house.message(turn), "doce:details")
        view = await house.dialog("ada")
        shown = words(view)
        assert "`src/index.html`  +24 −3" in shown
        assert "exit 1" in shown
        assert "sk-secret" not in shown
        for _ in range(2):
            await slack.click("ada", view, "doce:full_log")
        await house.told("ada", "already")
        files = [one for one in slack.thread("#sites", card.ts) if one.files]
        assert len(files) == 1
        file = next(iter(slack.world.files.values()))
        assert file.content
        assert "The bakery is **made**." in file.content.decode()
        assert "sk-secret" not in file.content.decode()

    running(scenario, tmp_path)


def test_a_provider_that_takes_long_keeps_no_dialog_from_opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(house: House) -> None:
        slack, answers = house.slack, threading.Event()
        listed = house.services.catalog.models

        def slow() -> Any:
            assert answers.wait(20)
            return listed()

        monkeypatch.setattr(house.services.catalog, "models", slow)
        await slack.shortcut("ada", "doce:new")
        view = await house.dialog("ada", 3)
        assert "rehearsal/site-builder" in str(view.raw)
        answers.set()
        await slack.submit("ada", view, {"prompt": "a bakery in Porto", "model": "rehearsal/site-builder"})
        assert not view.open

    running(scenario, tmp_path)


def test_models_too_many_for_a_list_are_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(house: House) -> None:
        catalog = house.services.catalog
        many = [*catalog.models(), *(Model(f"many/model-{n}", f"Model {n}", "many") for n in range(200))]
        monkeypatch.setattr(catalog, "models", lambda: many)
        _, project = await house.made()
        card = house.slack.messages("#sites")[0]
        await house.slack.click("ada", house.message(card), "doce:menu", f"model:{project.id}")
        view = await house.dialog("ada")
        assert view.blocks[0]["element"]["type"] == "external_select"
        offered = await house.slack.suggest("ada", view, view.blocks[0]["element"]["action_id"], "del-19")
        assert [one["value"] for one in offered] == ["many/model-19", *(f"many/model-19{n}" for n in range(10))]
        assert len(await house.slack.suggest("ada", view, view.blocks[0]["element"]["action_id"])) == 100

    running(scenario, tmp_path)
