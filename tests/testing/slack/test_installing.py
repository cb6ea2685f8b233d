"""A second workspace by OAuth, through Bolt's own flow."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from slack_bolt.async_app import AsyncApp
from slack_bolt.oauth.async_oauth_settings import AsyncOAuthSettings
from slack_sdk.errors import SlackApiError
from slack_sdk.oauth.installation_store import FileInstallationStore
from slack_sdk.oauth.state_store import FileOAuthStateStore
from slack_sdk.web.async_client import AsyncWebClient

from doce.testing.slack import Slack

from .driven import http_mode, run

# slack_sdk sends the client's secret in a way that aiohttp means to drop.
pytestmark = pytest.mark.filterwarnings("ignore:BasicAuth is deprecated")


def test_a_person_lets_the_app_into_their_workspace(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Slack() as slack, aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as browser:
            beta = slack.world.add_workspace("Beta")
            slack.world.add_user(beta, "dora")
            store = FileInstallationStore(base_dir=str(tmp_path / "installations"))
            settings = AsyncOAuthSettings(
                client_id=slack.app.client_id, client_secret=slack.app.client_secret, scopes=["chat:write", "commands"],
                installation_store=store,
                state_store=FileOAuthStateStore(expiration_seconds=60, base_dir=str(tmp_path / "states")),
                authorization_url=f"{slack.url}/oauth/v2/authorize", install_path="/slack/events", redirect_uri_path="/slack/events/back",
            )  # fmt: skip
            app = AsyncApp(client=AsyncWebClient(base_url=slack.api_url), signing_secret=slack.app.signing_secret, oauth_settings=settings)
            async with http_mode(slack, app) as url:
                async with browser.get(url) as install:
                    cookie = install.headers["Set-Cookie"].partition(";")[0]
                    page = await install.text()
                found = re.search(r'href="([^"]*/oauth/v2/authorize[^"]*)"', page)
                assert found
                authorize = html.unescape(found[1])
                async with browser.get(f"{authorize}&redirect_uri={url}") as consent:
                    assert "asks to join" in await consent.text()
                async with browser.get(f"{authorize}&redirect_uri={url}&team={beta.id}&agree=yes", allow_redirects=False) as back:
                    assert back.status == 302
                    code = parse_qs(urlsplit(back.headers["Location"]).query)
                callback = f"{url}/back?code={code['code'][0]}&state={code['state'][0]}"
                async with browser.get(callback, headers={"Cookie": cookie}) as done:
                    assert done.status == 200, await done.text()
            kept = store.find_bot(enterprise_id=None, team_id=beta.id)
            assert kept
            assert (kept.bot_user_id, kept.bot_id, kept.bot_scopes) == (beta.bot_user, beta.bot_id, ["chat:write", "commands"])
            who = await AsyncWebClient(token=kept.bot_token, base_url=slack.api_url).auth_test()
            assert who["team"] == "Beta"

    run(scenario)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"client_id": "x"}, "invalid_client_id"),
        ({"client_secret": "x"}, "bad_client_secret"),
        ({"code": "x"}, "invalid_code"),
        ({"redirect_uri": "http://elsewhere"}, "bad_redirect_uri"),
    ],
)
def test_a_code_is_exchanged_once_by_its_app(change: dict[str, str], error: str) -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            code = slack.grant(slack.workspace.id, "", ("chat:write",), "http://here")
            good: dict[str, Any] = {"client_id": slack.app.client_id, "client_secret": slack.app.client_secret, "code": code}
            web = AsyncWebClient(base_url=slack.api_url)
            with pytest.raises(SlackApiError, match=error):
                await web.oauth_v2_access(**(good | change))
            if error in ("invalid_client_id", "bad_client_secret", "invalid_code"):
                assert (await web.oauth_v2_access(**good))["scope"] == "chat:write"
            with pytest.raises(SlackApiError, match="invalid_code"):
                await web.oauth_v2_access(**good)

    run(scenario)


def test_leaving_by_the_apps_own_wish() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            web = AsyncWebClient(token=slack.token, base_url=slack.api_url)
            assert (await web.auth_revoke(test=True))["revoked"] is False
            assert (await web.auth_revoke())["revoked"] is True
            with pytest.raises(SlackApiError, match="token_revoked"):
                await web.auth_test()
            assert [each.event["type"] for each in slack.courier.sent] == ["tokens_revoked"]
            await slack.say("ada", "#sites", "anybody there?")
            assert len(slack.courier.sent) == 1

    run(scenario)
