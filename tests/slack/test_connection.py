"""The connection to Slack is lost and found again; nothing that was said meanwhile is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from doce.testing.slack import Slack
from doce_slack.door import SlackDoor

from .desk import Desk, do

pytestmark = pytest.mark.slow


@pytest.mark.timeout(60)
def test_a_connection_that_is_torn_down_or_refreshed_is_made_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Slack(rate=float("inf")) as slack:
            made = Desk(tmp_path, slack, slack_app_token=slack.app.app_token)
            async with made.parts.feed:
                door = SlackDoor(made.services, do)
                await door.start()
                try:
                    await slack.connected()
                    await slack.sockets.refresh()
                    await slack.until(lambda _: slack.sockets.opened == 2)
                    slack.sockets.drop()
                    message = await slack.say("ada", "#sites", "said meanwhile")
                    await slack.until(lambda _: slack.sockets.opened == 3, 40)
                    await slack.until(lambda _: [one for one in slack.courier.sent if one.event.get("ts") == message.ts and one.acked], 10)
                finally:
                    await door.stop()
                    made.parts.runtime.close()

    asyncio.run(scenario())
