"""`doce slack check` against the twin: what is right, what is wrong, what to do; no secret is ever shown."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import peewee
import pytest
from pydantic import SecretStr

from doce.auth.identities import Linked
from doce.chats.installations import Installation
from doce.settings import Settings
from doce.testing.slack import Slack, hang, refused, server_error
from doce.testing.slack.things import Workspace
from doce_slack import check as checks
from doce_slack.check import Found, check
from doce_slack.manifest import manifest, scopes

from .served_door import placed

pytestmark = pytest.mark.slow

ADA = [Linked("idn_1", "slack", "T1", "U1", "ada", 0)]


def of(slack: Slack, **changed: Any) -> Settings:
    given: dict[str, Any] = {"slack_bot_token": slack.token, "slack_app_token": slack.app.app_token, "slack_api_url": slack.api_url}
    return Settings(**{name: value for name, value in {**given, **changed}.items() if value is not None})


def tried(scenario: Callable[[Slack], Awaitable[None]]) -> None:
    async def run() -> None:
        async with Slack(rate=float("inf")) as slack:
            await scenario(slack)

    asyncio.run(run())


def named(found: list[Found], name: str) -> Found:
    return next(one for one in found if one.name == name)


def wrong(found: list[Found]) -> list[str]:
    return [one.name for one in found if one.state == "wrong"]


def test_all_is_well() -> None:
    async def scenario(slack: Slack) -> None:
        slack.apply(manifest(Settings()))
        token = slack.install(slack.workspace)
        found = await check(of(slack, slack_bot_token=token), linked=ADA)
        assert wrong(found) == [], found
        assert named(found, "bot token").said == f"doce in Acme ({slack.workspace.id})"
        assert named(found, "scopes").said == f"all {len(scopes(Settings()))} that doce needs"
        assert "greeted" in named(found, "socket mode").said
        assert "1 of Slack is linked" in named(found, "people").said
        assert not slack.sockets.connections, "the connection is closed again"

    tried(scenario)


def test_an_app_without_slacks_places_for_agents_is_all_right() -> None:
    async def scenario(slack: Slack) -> None:
        slack.apply(manifest(Settings(), agent=False))
        found = await check(of(slack, slack_bot_token=slack.install(slack.workspace)), linked=ADA)
        assert wrong(found) == [], found
        assert "without assistant:write" in named(found, "scopes").said
        # What is missing beside it is another matter.
        slack.app.scopes = tuple(one for one in slack.app.scopes if one != "files:read")
        found = await check(of(slack, slack_bot_token=slack.install(slack.workspace)), linked=ADA)
        assert "lacks assistant:write, files:read" in named(found, "scopes").said
        assert wrong(found) == ["scopes"]

    tried(scenario)


def test_a_token_that_slack_does_not_take() -> None:
    async def scenario(slack: Slack) -> None:
        found = await check(of(slack, slack_bot_token="xoxb-1-2-nobodysnobodys", slack_app_token="xapp-1-A1-2-nobodysnobodys"))
        assert wrong(found) == ["bot token", "socket mode"]
        assert "does not know this token" in named(found, "bot token").said
        assert "OAuth & Permissions" in named(found, "bot token").hint
        assert "App-Level Tokens" in named(found, "socket mode").hint
        slack.tokens[slack.token].revoked = True
        assert "was revoked" in named(await check(of(slack)), "bot token").said
        slack.faults.add("auth.test", refused("account_inactive"), times=1)
        assert "removed from the workspace" in named(await check(of(slack)), "bot token").said
        slack.faults.add("auth.test", refused("something_new"), times=1)
        assert "something_new" in named(await check(of(slack)), "bot token").said

    tried(scenario)


def test_scopes_that_are_missing_are_named() -> None:
    async def scenario(slack: Slack) -> None:
        token = slack.install(
            slack.workspace, scopes=tuple(one for one in scopes(Settings()) if one not in ("files:write", "reactions:write"))
        )
        found = named(await check(of(slack, slack_bot_token=token)), "scopes")
        assert (found.state, found.said) == ("wrong", "The token of Acme lacks files:write, reactions:write.")
        assert "doce slack manifest" in found.hint
        assert "install the app again" in found.hint

    tried(scenario)


def test_slack_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(slack: Slack) -> None:
        for fault in (server_error(), hang(30)):
            slack.faults.add("auth.test", fault, times=1)
            slack.faults.add("apps.connections.open", fault, times=1)
            assert wrong(await check(of(slack))) == ["bot token", "socket mode"]
        found = await check(of(slack, slack_api_url="http://127.0.0.1:1/api/"))
        assert "127.0.0.1 cannot be reached" in named(found, "bot token").said

    monkeypatch.setattr(checks, "TIMEOUT_S", 1)
    tried(scenario)


def test_tokens_of_two_apps() -> None:
    async def scenario(slack: Slack) -> None:
        other = slack.app.app_token.replace("A00000001", "A00000002")
        slack.tokens[other] = slack.tokens[slack.app.app_token]
        found = named(await check(of(slack, slack_app_token=other)), "socket mode")
        assert found.state == "wrong"
        assert "of another app" in found.said

    tried(scenario)


def test_settings_that_cannot_work_are_said_without_asking_slack() -> None:
    async def scenario(slack: Slack) -> None:
        found = await check(of(slack, slack_bot_token=slack.app.app_token, slack_app_token=slack.token))
        assert wrong(found) == ["settings", "settings"]
        assert slack.calls == []
        assert wrong(await check(Settings())) == ["settings"]
        assert wrong(await check(of(slack, slack_app_token=None))) == ["settings"]

    tried(scenario)


def test_installing() -> None:
    async def scenario(slack: Slack) -> None:
        given = {
            "slack_client_id": slack.app.client_id,
            "slack_client_secret": slack.app.client_secret,
            "public_url": "https://d.example.com",
        }
        assert named(await check(of(slack, **given)), "installing").state == "right"
        assert "DOCE_SLACK_CLIENT_ID" in named(await check(of(slack, **{**given, "slack_client_id": "1.2"})), "installing").said
        bad = {**given, "slack_client_secret": "0" * 32}
        assert "DOCE_SLACK_CLIENT_SECRET" in named(await check(of(slack, **bad)), "installing").said
        plain = {**given, "public_url": "http://d.example.com"}
        assert "would not come back to http://d.example.com" in named(await check(of(slack, **plain)), "installing").said

    tried(scenario)


def test_each_workspace_that_installed_doce() -> None:
    async def scenario(slack: Slack) -> None:
        made: Workspace = slack.world.add_workspace("Beta")
        token = slack.install(made, scopes=tuple(scopes(Settings())))
        found = await check(of(slack), [Installation("slack", made.id, "Beta", "U1", "B1", "A1", (), SecretStr(token))])
        assert named(found, "workspace Beta").state == "right"
        slack.tokens[token].revoked = True
        found = await check(of(slack), [Installation("slack", made.id, "Beta", "U1", "B1", "A1", (), SecretStr(token))])
        assert named(found, "workspace Beta").state == "wrong"

    tried(scenario)


def test_the_request_url_is_tried_as_slack_does(db: peewee.SqliteDatabase, tmp_path: Path) -> None:
    with placed(tmp_path) as place:
        url = f"http://127.0.0.1:{place.house.port}"

        def asked(**changed: Any) -> Found:
            given = {"slack_signing_secret": place.slack.app.signing_secret, "public_url": url, **changed}
            return named(place.run(check(of(place.slack, **given))), "request url")

        assert asked() == Found("request url", "right", f"doce answers at {url}/slack/events")
        assert "another signing secret" in asked(slack_signing_secret="0" * 32).said
        assert "is not doce's Slack door (status 404)" in asked(public_url=f"{url}/elsewhere").said
        away = asked(public_url="http://127.0.0.1:1")
        assert away.state == "off"
        assert "Start doce" in away.hint
        # Without Socket Mode plain http is not enough.
        assert "only over https" in asked(slack_app_token=None).said


@pytest.mark.slow
def test_the_command_says_it_and_shows_no_secret(tmp_path: Path) -> None:
    async def scenario(slack: Slack) -> None:
        slack.apply(manifest(Settings()))
        token = slack.install(slack.workspace)
        secrets = {
            "DOCE_SLACK_BOT_TOKEN": token, "DOCE_SLACK_APP_TOKEN": slack.app.app_token,
            "DOCE_SLACK_SIGNING_SECRET": slack.app.signing_secret, "DOCE_SLACK_CLIENT_SECRET": slack.app.client_secret,
        }  # fmt: skip
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DOCE_")}
        environment = {
            **kept, **secrets, "DOCE_SLACK_CLIENT_ID": slack.app.client_id, "DOCE_SLACK_API_URL": slack.api_url,
            "DOCE_DATA": str(tmp_path / "data"), "DOCE_PUBLIC_URL": "https://localhost:1",
        }  # fmt: skip

        async def said(*words: str) -> tuple[int, str]:
            done = await asyncio.to_thread(
                subprocess.run, [sys.executable, "-m", "doce", *words], env=environment, capture_output=True, text=True, timeout=60
            )  # fmt: skip
            for secret in secrets.values():
                assert secret not in done.stdout + done.stderr
            return done.returncode, done.stdout

        code, text = await said("slack", "check")
        assert code == 0, text
        assert "✓ bot token: doce in Acme" in text
        assert "– people: this doce is not set up yet" in text
        assert text.rstrip().endswith("Ready.")
        assert not (tmp_path / "data").exists(), "looking makes nothing"
        await said("setup", "--name", "ada")
        code, text = await said("slack", "check")
        assert "nobody of Slack is linked yet" in text
        code, text = await said("doctor")
        assert "✓ slack: all is well" in text
        slack.tokens[token].revoked = True
        code, text = await said("slack", "check", "--json")
        assert code == 1
        told = json.loads(text)
        assert told["ok"] is False
        assert "was revoked" in next(one["said"] for one in told["found"] if one["name"] == "bot token")
        code, text = await said("doctor")
        assert "– slack: bot token: DOCE_SLACK_BOT_TOKEN: this token was revoked." in text

    tried(scenario)
