"""Dialogs: opened in time, for those who may, and done once when they are submitted."""

from __future__ import annotations

from pathlib import Path

from .surface_house import House, running


def test_a_new_site_from_the_dialog(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        slack = house.slack
        await slack.slash("ada", "#sites", "/doce", "new")
        view = await house.dialog("ada")
        assert view.title == "New site"
        sent = await slack.submit("ada", view, {"prompt": "a bakery in Porto", "name": "Pão"})
        assert sent.acked
        assert not view.open
        card = (await slack.until(lambda _: slack.messages("#sites")))[0]
        assert "Pão" in card.shown

    running(scenario, tmp_path)
