"""What people change after they said it."""

from __future__ import annotations

from pathlib import Path

import pytest

from doce_slack.context import UNTRUSTED
from doce_slack.workspaces import KIND

from .surface_house import House, running

pytestmark = pytest.mark.slow


def test_a_mention_in_somebody_elses_thread_keeps_what_was_quoted_when_it_is_edited(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        slack = house.slack
        first = await slack.say("cleo", "#sites", "Our bakery is called Fornada")
        message = await slack.say("ada", "#sites", "@doce new a site for it", thread=first.ts)
        thread = await house.until(lambda: house.services.chats.threads.at(KIND, house.team, first.channel, first.ts))
        asked = house.services.prompts.next(thread.project_id)
        assert asked
        quotation = f"\n\n{UNTRUSTED}\n> cleo: Our bakery is called Fornada"
        assert asked.text == f"a site for it{quotation}"
        await slack.edit("ada", message, "@doce new a dark site for it")
        await house.until(lambda: house.services.prompts.get(asked.id).text != asked.text)
        assert house.services.prompts.get(asked.id).text == f"a dark site for it{quotation}"
        # And when nobody says new any more.
        await slack.edit("ada", message, "@doce a light site for it")
        await house.until(lambda: "light" in house.services.prompts.get(asked.id).text)
        assert house.services.prompts.get(asked.id).text == f"a light site for it{quotation}"

    running(scenario, tmp_path)
