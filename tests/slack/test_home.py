"""App Home: what is in it, what can be done there, and that it keeps up."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from doce.auth import preferences
from doce.db.choices import choose
from doce.llm.catalog import Model
from doce.projects.status import ProjectStatus
from doce.testing.slack import View, refused
from doce_slack.workspaces import KIND

from .surface_house import PUBLIC, House, running, words

pytestmark = pytest.mark.slow


async def opened(house: House, who: str) -> View:
    await house.slack.open_home(who)
    found: View = await house.slack.until(lambda _: house.slack.home(who))
    return found


async def shows(house: House, who: str, word: str) -> View:
    def look(_: object) -> View | None:
        view = house.slack.home(who)
        return view if view and word in f"{words(view)} {view.raw}" else None

    found: View = await house.slack.until(look)
    return found


def test_somebody_whom_doce_does_not_know_sees_how_to_link(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        view = await opened(house, "cleo")
        assert "/doce link" in words(view)
        assert f"{PUBLIC}/account" in str(view.raw)

    running(scenario, tmp_path)


def test_a_provider_that_takes_long_does_not_keep_it_from_opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(house: House) -> None:
        answers, listed = threading.Event(), house.services.catalog.models

        def slow() -> list[Model]:
            assert answers.wait(20)
            return [*listed(), Model("far/away", "Far away", "far")]

        monkeypatch.setattr(house.services.catalog, "models", slow)
        try:
            await house.slack.open_home("ben")
            view = await house.slack.until(lambda _: house.slack.home("ben"), 3)
            assert "Model of new sites" in words(view)
            assert "rehearsal/site-builder" in str(view.raw)
        finally:
            answers.set()
        await shows(house, "ben", "far/away")

    running(scenario, tmp_path)


def test_projects_of_ones_own_and_of_others(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        mine, other = house.project(house.ben, "Clay"), house.project(house.ada, "Bakery")
        house.project(house.ada, "Secret")
        house.services.members.set(other.id, house.ben.id, "viewer")
        house.deployed(mine)
        view = await opened(house, "ben")
        text = words(view)
        assert text.index("Your projects") < text.index("Clay") < text.index("Shared with you") < text.index("Bakery")
        assert "live v1" in text
        assert "Secret" not in text
        assert "Channels" not in text
        assert "all is well" in text

    running(scenario, tmp_path)


def test_a_home_with_nothing_in_it_begins_a_site(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        view = await opened(house, "ben")
        assert "None yet" in words(view)
        await house.slack.click("ben", view, "doce:new")
        dialog = await house.dialog("ben")
        await house.slack.submit("ben", dialog, {"prompt": "a bakery in Porto", "name": "Porto"})
        view = await shows(house, "ben", "Porto")
        assert "Running now" in words(view)
        # Its thread is where they asked for: in their direct message.
        assert house.slack.messages(house.slack.world.direct(house.user("ben")))

    running(scenario, tmp_path)


def test_it_keeps_up_with_what_happens(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        card, project = await house.made("ben")
        view = await opened(house, "ben")
        assert "starting" in words(view)
        await shows(house, "ben", f"/archives/{card.channel}/p{card.ts.replace('.', '')}")
        house.ready(project)
        await shows(house, "ben", ":white_circle:")
        before = len(house.slack.called("views.publish"))
        for number in range(30):
            house.services.projects.rename(project.id, f"Name {number}")
        await shows(house, "ben", "Name 29")
        assert len(house.slack.called("views.publish")) - before <= 4
        # Somebody else's is left alone.
        assert house.slack.home("ada") is None

    running(scenario, tmp_path)


def test_stop_and_deploy_from_there(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        _, project = await house.made("ben")
        for status in (ProjectStatus.STARTING, ProjectStatus.RUNNING):
            house.parts.work.store.set_status(project.id, status)
        prompt = house.services.prompts.next(project.id)
        assert prompt
        house.turn(prompt, end=False)
        view = await opened(house, "ben")
        await house.slack.click("ben", view, "doce:stop", project.id)
        await house.slack.until(lambda _: house.services.prompts.get(prompt.id).stopped_by == house.ben.id)

    running(scenario, tmp_path)


def test_defaults_are_changed_where_they_are_shown(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        view = await opened(house, "ben")
        await house.slack.click("ben", view, "doce:set_verbosity", "quiet")
        await shows(house, "ben", "'initial_option': {'text': {'type': 'plain_text', 'text': 'Only the answer'")
        await house.slack.click("ben", view, "doce:set_notices", "always")
        await shows(house, "ben", "'initial_option': {'text': {'type': 'plain_text', 'text': 'After every turn'")
        await house.slack.click("ben", view, "doce:set_model", "rehearsal/site-builder")
        await house.slack.until(lambda _: preferences.of(house.ben.id).model)
        assert preferences.of(house.ben.id).verbosity == "quiet"
        assert preferences.of(house.ben.id).notifications == "always"

    running(scenario, tmp_path)


def test_admins_decide_about_channels(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        await house.made("ben")
        view = await opened(house, "ada")
        sites = house.slack.channel("#sites").id
        assert f"<#{sites}>" in words(view)
        await house.slack.click("ada", view, "doce:mention", f"{sites}:1")
        await shows(house, "ada", "only what mentions me")
        assert house.services.chats.channels.rules(KIND, house.team, sites).mention

    running(scenario, tmp_path)


def test_it_says_what_is_wrong_with_this_doce(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        choose("min_free_mb", 10**9)
        view = await opened(house, "ben")
        assert "The disk is almost full" in words(view)

    running(scenario, tmp_path)


def test_an_empty_conversation_begins_with_things_to_say(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        slack, direct = house.slack, house.slack.world.direct(house.user("ben"))
        await slack.open_home("ben", "messages")
        session = await slack.until(lambda world: world.sessions.get((direct.id, "")))
        assert len(session.prompts) == 4
        # Where Slack has no suggestions there are buttons.
        other = slack.world.direct(house.user("cleo"))
        slack.faults.add("assistant.threads.setSuggestedPrompts", refused("unknown_method"))
        await slack.open_home("cleo", "messages")
        greeting = (await slack.until(lambda _: slack.messages(other)))[0]
        assert "New site" in greeting.shown
        await slack.open_home("cleo", "messages")
        await slack.settled()
        assert len(slack.messages(other)) == 1

    running(scenario, tmp_path)
