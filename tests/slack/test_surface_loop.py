"""The same surface with everything behind it: `doce serve` in a process of its own, real OpenCode, a rehearsed model."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from doce.settings import load, machine_path
from doce.testing.slack import Seen, Slack, View
from tests.system.house import House, house

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]
LONG = 120.0


async def linked(slack: Slack, doce: House, who: str) -> None:
    answer = await asyncio.to_thread(doce.command, "identities", "link", "--json")
    await slack.slash(who, "#sites", "/doce", f"link {json.loads(answer.stdout)['code']}")
    await slack.until(lambda _: slack.ephemeral(who, "#sites"))


def test_from_the_dialog_to_a_rollback(tmp_path: Path) -> None:
    async def scenario(slack: Slack, doce: House) -> None:
        await slack.connected(timeout=LONG)
        await linked(slack, doce, "ada")
        await slack.slash("ada", "#sites", "/doce", "new")
        dialog: View = await slack.until(lambda _: slack.modal("ada"))
        await slack.submit("ada", dialog, {"prompt": "a bakery in Porto with opening hours", "name": "Porto"})
        root = (await slack.until(lambda _: slack.messages("#sites")))[0]

        async def told(so: Callable[[Seen], object]) -> Seen:
            found: Seen = await slack.until(lambda _: next(filter(so, reversed(slack.thread("#sites", root.ts))), None), LONG)
            return found

        turn = await told(lambda one: "Details" in one.shown and "✅" in one.shown)
        if shutil.which("chromium", path=machine_path()):
            await told(lambda one: one.files == ("Porto",))
            picture = next(one for one in slack.world.files.values() if one.title == "Porto")
            assert picture.content
            assert picture.content.startswith(b"\x89PNG")
        await slack.click("ada", slack.world.message("#sites", turn.ts), "doce:details")
        details: View = await slack.until(lambda _: slack.modal("ada"))
        assert "public/index.html" in str(details.blocks)
        await slack.click("ada", details, "doce:full_log")
        await told(lambda one: "Everything of this turn" in one.files)
        log = next(one for one in slack.world.files.values() if one.title == "Everything of this turn")
        assert log.content
        assert "[write]" in log.content.decode()
        await slack.close("ada", details)
        await slack.react("ada", slack.world.message("#sites", root.ts), "rocket")
        await told(lambda one: "*Live* v1" in one.shown)
        await slack.say("ada", "#sites", "make it dark", thread=root.ts)
        second = await told(lambda one: one.ts > turn.ts and "Details" in one.shown and "✅" in one.shown)
        await slack.say("ada", "#sites", "deploy", thread=root.ts)
        live = await told(lambda one: "*Live* v2" in one.shown)
        assert live.control("Rollback to v1")
        # The first turn's message leads back to what was deployed of it.
        await slack.shortcut("ada", "doce:rollback", slack.world.message("#sites", turn.ts))
        picker: View = await slack.until(lambda _: slack.modal("ada"))
        assert picker.blocks[1]["element"]["initial_option"]["value"] == "v1"
        await slack.submit("ada", picker)
        await told(lambda one: one.ts > live.ts and "*Live* v1" in one.shown)
        await slack.open_home("ada")
        await slack.until(lambda _: (view := slack.home("ada")) and "live v1" in str(view.blocks))
        assert second.ts < live.ts
        assert not slack.exceeded

    async def run() -> None:
        async with Slack() as slack:
            settings = {
                "DOCE_SLACK_BOT_TOKEN": slack.token, "DOCE_SLACK_APP_TOKEN": slack.app.app_token, "DOCE_SLACK_API_URL": slack.api_url,
                "DOCE_SLACK_PREVIEW_IMAGES": "true",
            }  # fmt: skip
            manager = house(tmp_path / "data", load().cache, **settings)
            doce = await asyncio.to_thread(manager.__enter__)
            try:
                await scenario(slack, doce)
            finally:
                await asyncio.to_thread(manager.__exit__, None, None, None)

    asyncio.run(run())
