"""``python -m doce.testing.slack``: a Slack by itself."""

from __future__ import annotations

import asyncio
import sys

import aiohttp
from slack_sdk.web.async_client import AsyncWebClient

from .driven import run


def test_it_says_where_it_is_and_takes_a_bot() -> None:
    async def scenario() -> None:
        argv = [sys.executable, "-m", "doce.testing.slack", "--port", "0", "--bot-token", "xoxb-fixed", "--app-token", "xapp-fixed"]
        process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
        try:
            assert process.stdout
            said = {}
            while not (line := (await process.stdout.readline()).decode()).startswith("installing"):
                name, _, value = line.partition(":")
                said[name] = value.strip()
            url = said["base_url of a client"]
            assert said["for doce serve"] == f"DOCE_SLACK_API_URL={url} DOCE_SLACK_BOT_TOKEN=xoxb-fixed DOCE_SLACK_APP_TOKEN=xapp-fixed"
            assert (await AsyncWebClient(token="xoxb-fixed", base_url=url).auth_test())["user"] == "doce"
            await AsyncWebClient(token="xapp-fixed", base_url=url).apps_connections_open(app_token="xapp-fixed")
            async with aiohttp.ClientSession() as session:
                async with session.get(said["Slack's twin, to look at"]) as page:
                    assert (page.status, page.content_type) == (200, "text/html")
                # What another site's page would be able to send does nothing.
                async with session.post(url.replace("/api/", "/page/act"), data='{"act": "say"}') as refused:
                    assert refused.status == 415
        finally:
            process.terminate()
            await process.wait()

    run(scenario)
