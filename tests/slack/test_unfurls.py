"""Links to this doce become cards, for who may see what they lead to."""

from __future__ import annotations

from pathlib import Path

import pytest

from doce.testing.slack import Message

from .surface_house import PUBLIC, House, running

pytestmark = pytest.mark.slow


async def posted(house: House, who: str, text: str) -> Message:
    house.slack.app.unfurls = ("doce.example",)
    message = await house.slack.say(who, "#general", text)
    await house.slack.settled()
    return message


def test_a_link_to_a_project(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        project = house.project(house.ben, "Clay")
        link = f"{PUBLIC}/projects/clay?tab=files"
        message = await posted(house, "ben", f"look: {link}")
        await house.slack.until(lambda _: message.unfurls)
        card = str(message.unfurls[link])
        assert "*Clay*" in card
        assert str(project.preview_url) in card

    running(scenario, tmp_path)


def test_links_to_its_preview_and_to_its_site(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        project = house.project(house.ben, "Clay")
        house.deployed(project)
        site = house.services.productions.view(project.id).url
        first = await posted(house, "ben", f"preview {project.preview_url}")
        second = await posted(house, "ben", f"site {site}")
        await house.slack.until(lambda _: first.unfurls and second.unfurls)

    running(scenario, tmp_path)


def test_not_for_who_may_not_see_it_nor_for_what_is_no_project(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        project = house.project(house.ada, "Clay")
        links = [f"{PUBLIC}/projects/clay", f"{PUBLIC}/projects/cl", f"{PUBLIC}/projects/", f"{PUBLIC}/", str(project.preview_url)]
        for who in ("ben", "cleo"):
            await posted(house, who, " ".join(links))
        # An admin sees everybody's, but what only begins like a project is no link to it.
        await posted(house, "ada", " ".join(links[1:4]))
        last = await posted(house, "ada", links[0])
        await house.slack.until(lambda _: last.unfurls)
        assert len(house.slack.called("chat.unfurl")) == 1

    running(scenario, tmp_path)
