"""Reactions on doce's messages."""

from __future__ import annotations

from pathlib import Path

from doce.projects.status import ProjectStatus

from .surface_house import House, running


def test_a_stop_sign_on_a_turn_stops_it(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        slack = house.slack
        card, project = await house.made("ben")
        for status in (ProjectStatus.STARTING, ProjectStatus.RUNNING):
            house.parts.work.store.set_status(project.id, status)
        prompt = house.services.prompts.next(project.id)
        assert prompt
        house.turn(prompt, end=False)
        turn = await slack.until(lambda _: next((one for one in slack.thread("#sites", card.ts)[1:] if one.stream), None))
        find = house.services.chats.messages.find
        await slack.until(lambda _: find("slack", house.team, card.channel, turn.ts))
        # Neither of somebody whom doce does not know, nor of somebody who may not.
        for who in ("cleo", "ada"):
            await slack.react(who, house.message(turn), "wave")
        await slack.react("cleo", house.message(turn), "octagonal_sign")
        await slack.settled()
        assert house.services.prompts.get(prompt.id).stopped_by is None
        await slack.react("ben", house.message(turn), "octagonal_sign")
        await slack.until(lambda _: house.services.prompts.get(prompt.id).stopped_by == house.ben.id)
        assert not slack.ephemeral("cleo")

    running(scenario, tmp_path)


def test_a_rocket_on_the_card_deploys_and_arrows_try_again(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        slack = house.slack
        card, project = await house.made("ben")
        await slack.react("ben", house.message(card), "rocket")
        await house.told("ben", "nothing to deploy yet")
        house.ready(project)
        turn = await slack.until(lambda _: next((one for one in slack.thread("#sites", card.ts) if "Details" in one.shown), None))
        await slack.react("ben", house.message(turn), "repeat")
        prompt = await house.until(lambda: house.services.prompts.next(project.id))
        assert prompt.text == "a bakery in Porto"
        await slack.react("ada", house.message(turn), "eyes")
        await slack.settled()
        assert len(house.services.prompts.page(project.id, 10, None).items) == 2

    running(scenario, tmp_path)
