"""What a deploy says when it failed, and how one goes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from doce_slack.deploys import fenced

from .surface_house import House, running

pytestmark = pytest.mark.slow


def test_lines_fit_into_their_block() -> None:
    assert fenced(["one", "```", "x" * 500]) == f"one\n'''\n{'x' * 299}…"
    assert len(fenced(["y" * 290] * 50)) <= 2600


def test_a_deploy_that_failed_shows_why_and_what_to_do(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        slack = house.slack
        card, project = await house.made("ben")
        house.ready(project)
        job = house.failed_deploy(project, "The build failed with exit code 1.", [f"line {n} <!channel>" for n in range(40)])
        told = await slack.until(lambda _: next((one for one in slack.thread("#sites", card.ts) if "deploy failed" in one.shown), None))
        assert "*The deploy failed while building.* Nothing was live before." in told.shown
        assert "line 39" in told.shown
        assert "line 25" in told.shown
        assert "line 24" not in told.shown
        assert "<!channel>" not in str(told.blocks)
        assert told.control("Full log").value == f"{project.id}:{job}"
        await slack.click("ada", house.message(told), "doce:build_log")
        await house.told("ada", "It is in the thread now.")
        file = next(iter(slack.world.files.values()))
        assert file.content
        assert file.content.decode().startswith("line 0 ")
        await slack.click("cleo", house.message(told), "doce:build_log")
        await house.told("cleo", "/doce link")
        await slack.click("ben", house.message(told), "doce:fix")
        prompt = await house.until(lambda: house.services.prompts.next(project.id))
        assert "exit code 1" in prompt.text
        assert "line 39" in prompt.text

    running(scenario, tmp_path)


def test_a_deploy_that_is_live_offers_the_version_before(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        slack = house.slack
        card, project = await house.made("ben")
        house.ready(project)
        house.deployed(project)
        house.deployed(project)
        house.failed_deploy(project, "No.", [])
        first = await slack.until(lambda _: next((one for one in slack.thread("#sites", card.ts) if "v2 is still live" in one.shown), None))
        assert "Full log" in first.shown
        house.deploying(project)
        house.deployed(project)
        live = await slack.until(lambda _: next((one for one in slack.thread("#sites", card.ts) if "*Live* v3" in one.shown), None))
        assert "in place of v3" in live.control("Rollback to v2").confirm
        await slack.click("ben", house.message(live), "doce:rollback_to")
        job = await house.until(lambda: next((one for one in house.jobs(project) if one.type == "production.rollback"), None))
        assert job.values()["productionHash"] == house.services.productions.releases.find(project.id, "v2").hash

    running(scenario, tmp_path)
