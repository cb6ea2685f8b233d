"""Lists and cards for one person, and commands that were meant otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from doce.testing.slack import Seen
from doce_slack.workspaces import KIND

from .surface_house import PUBLIC, House, running

pytestmark = pytest.mark.slow


async def said(house: House, who: str, text: str) -> Seen:
    """What only they see of a command's answer."""
    before = len(house.slack.ephemeral(who))
    await house.slack.slash(who, "#sites", "/doce", text)
    return (await house.slack.until(lambda _: house.slack.ephemeral(who)[before:]))[0]


def test_a_list_in_pages(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        for number in range(12):
            house.services.projects.create(house.ben.id, "a site", name=f"Site {number}")
        listed = await said(house, "ben", "list")
        assert "Site 11" in listed.shown
        assert "just now" in listed.shown
        assert "`site-1`" not in listed.shown
        message = house.message(listed)
        await house.slack.click("ben", message, "doce:page", listed.control("More").value)
        await house.slack.until(lambda _: "`site-1`" in house.slack.ephemeral("ben")[-1].shown)
        assert len(house.slack.ephemeral("ben")) == 1
        second = house.slack.ephemeral("ben")[-1]
        assert "More" not in second.shown
        await house.slack.click("ben", message, "doce:page_first")
        await house.slack.until(lambda _: "Site 11" in house.slack.ephemeral("ben")[-1].shown)

    running(scenario, tmp_path)


def test_what_runs_and_what_everybody_has(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        house.project(house.ben, "Quiet")
        house.services.projects.create(house.ada.id, "a site", name="Busy")
        assert "Nothing is running" in (await said(house, "ben", "list running")).shown
        assert "Busy" in (await said(house, "ada", "list running")).shown
        assert "Quiet" not in (await said(house, "ada", "list")).shown
        assert "Quiet" in (await said(house, "ada", "list all")).shown
        assert "Busy" not in (await said(house, "ben", "list all")).shown
        assert "`list mine`" in (await said(house, "ben", "list nonsense")).shown

    running(scenario, tmp_path)


def test_continue_here_begins_a_thread_on_it(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        project = house.project(house.ben, "Clay")
        opened = await said(house, "ben", "open clay")
        assert opened.control("Open in doce").url == f"{PUBLIC}/projects/clay"
        assert opened.control("Preview").url
        await house.slack.click("ben", house.message(opened), "doce:continue")
        card = (await house.slack.until(lambda _: house.slack.messages("#sites")))[0]
        assert "Clay" in card.shown
        thread = await house.slack.until(lambda _: house.services.chats.threads.at(KIND, house.team, card.channel, card.ts))
        await house.slack.say("ben", "#sites", "make it dark", thread=card.ts)
        prompt = await house.until(lambda: house.services.prompts.next(project.id))
        assert prompt.text == "make it dark"
        asked = house.services.chats.threads.asked_in(prompt.id)
        assert asked
        assert asked.thread_id == thread.id

    running(scenario, tmp_path)


def test_not_where_doce_cannot_speak(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        house.project(house.ben, "Clay")
        await house.slack.slash("ben", "#secret", "/doce", "open clay")
        opened = await house.told("ben", "Clay")
        await house.slack.click("ben", house.message(opened), "doce:continue")
        await house.told("ben", "/invite")

    running(scenario, tmp_path)


def test_a_word_that_could_be_several_projects_is_chosen_from_a_list(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        house.project(house.ben, "Ceramic Portfolio")
        house.project(house.ben, "Cerveza")
        asked = await said(house, "ben", "open cer")
        choices = asked.control("doce:run").options
        assert choices == {"open cerveza": "cerveza", "open ceramic-portfolio": "ceramic-portfolio"}
        await house.slack.click("ben", house.message(asked), "doce:run", "open cerveza")
        await house.told("ben", "*Cerveza*")

    running(scenario, tmp_path)


def test_a_project_that_is_not_there_can_be_made(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        house.project(house.ben, "Clay")
        answer = await said(house, "ben", "deploy shop")
        assert "You have: clay" in answer.shown
        await house.slack.click("ben", house.message(answer), "doce:new")
        view = await house.dialog("ben")
        assert view.blocks[1]["element"]["initial_value"] == "shop"

    running(scenario, tmp_path)


def test_did_you_mean(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        project = house.project(house.ben, "Clay")
        answer = await said(house, "ben", "renmae clay Mud")
        await house.slack.click("ben", house.message(answer), "doce:run0", answer.control("/doce rename clay Mud").value)
        await house.until(lambda: house.services.projects.get(project.id).name == "Mud")
        await house.slack.click("ben", house.message(answer), "doce:run_help")
        await house.told("ben", "doce makes sites")

    running(scenario, tmp_path)


def test_a_mention_goes_on_with_the_project_of_the_channel(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        project = house.project(house.ben, "Clay")
        await said(house, "ben", "use clay")
        bot = house.slack.workspace.bot_user
        await house.slack.say("ben", "#sites", f"<@{bot}> darker, please")
        prompt = await house.until(lambda: house.services.prompts.next(project.id))
        assert prompt.text == "darker, please"
        await house.slack.say("ben", "#sites", f"<@{bot}> new a bakery in Porto")
        await house.until(lambda: len(house.services.projects.list(house.ben.id).items) == 2)

    running(scenario, tmp_path)


def test_the_same_by_mention_and_directly(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        slack = house.slack
        house.project(house.ben, "Clay")
        direct = slack.world.direct(house.user("ben"))
        await slack.say("ben", direct, "list")
        listed = await house.told("ben", "`clay`", direct.id)
        assert listed.control("Continue here")
        await slack.say("ben", direct, "dploy clay")
        await slack.until(lambda _: any("/doce deploy clay" in one.shown for one in slack.ephemeral("ben")))

    running(scenario, tmp_path)
