"""Tokens, scopes, the ways in which arguments come, rates, and calls that go wrong."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler

from doce.testing.slack import Slack, hang, limited, refused, reset, server_error

from .driven import EVERYTHING, client, run

pytestmark = pytest.mark.slow


async def post(slack: Slack, method: str, token: str | None = None, **how: Any) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with aiohttp.ClientSession() as session, session.post(slack.api_url + method, headers=headers, **how) as response:
        return await response.json()


def test_arguments_come_as_a_form_as_json_or_in_the_query() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            channel = slack.channel("#sites").id
            said = {"channel": channel, "text": "hello"}
            # What only reads takes no JSON: Slack acts as if nothing had been said.
            assert (await post(slack, "conversations.info", slack.token, json=said))["error"] == "channel_not_found"
            for how in ({"data": said}, {"json": said}, {"params": said}):
                assert (await post(slack, "chat.postMessage", slack.token, **how))["ok"]
            assert (await post(slack, "chat.postMessage", data={**said, "token": slack.token}))["ok"]
            assert [each.text for each in slack.messages(channel)] == ["hello"] * 4
            assert "token" not in slack.calls[-1].arguments

    run(scenario)


def test_a_call_needs_a_token_that_may() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            narrow = slack.token_with("chat:write")
            assert (await post(slack, "auth.test"))["error"] == "not_authed"
            assert (await post(slack, "auth.test", "xoxb-wrong"))["error"] == "invalid_auth"
            assert (await post(slack, "auth.test", slack.app.app_token))["error"] == "not_allowed_token_type"
            assert (await post(slack, "apps.connections.open", slack.token))["error"] == "not_allowed_token_type"
            assert (await post(slack, "no.such", slack.token))["error"] == "unknown_method"
            no = await post(slack, "users.info", narrow, data={"user": slack.user("ada").id})
            assert no == {"ok": False, "error": "missing_scope", "needed": "users:read", "provided": "chat:write"}
            no = await post(slack, "conversations.history", slack.token_with("channels:history", "im:history"), data={"channel": "C9"})
            assert no["error"] == "channel_not_found"
            who = await client(slack).auth_test()
            assert (who["team_id"], who["user_id"]) == (slack.workspace.id, slack.workspace.bot_user)
            assert "chat:write" in who.headers["x-oauth-scopes"].split(",")
            slack.uninstall()
            assert (await post(slack, "auth.test", slack.token))["error"] == "token_revoked"
            assert [each.event["type"] for each in slack.courier.sent] == ["app_uninstalled", "tokens_revoked"]

    run(scenario)


def test_a_post_a_second_in_a_channel_after_a_small_burst() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            web = client(slack)
            for _ in range(5):
                await web.chat_postMessage(channel="#sites", text="x")
            with pytest.raises(SlackApiError) as no:
                await web.chat_postMessage(channel="#sites", text="x")
            assert (no.value.response.status_code, no.value.response["error"]) == (429, "ratelimited")
            assert no.value.response.headers["Retry-After"] == "1"
            await web.chat_postMessage(channel="#general", text="x")
            assert slack.exceeded == {"chat.postMessage": 1}
            slack.clock.advance(1)
            await web.chat_postMessage(channel="#sites", text="x")

    run(scenario)


def test_a_tier_counts_the_calls_of_a_minute_in_a_workspace() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            web = client(slack)
            for _ in range(20):
                await web.users_list()
            with pytest.raises(SlackApiError) as no:
                await web.users_list()
            assert 1 <= int(no.value.response.headers["Retry-After"]) <= 60
            other = slack.world.add_workspace("Beta")
            await client(slack, slack.install(other)).users_list()
            slack.clock.advance(60)
            await web.users_list()
            assert (len(slack.called("users.list")), slack.exceeded["users.list"]) == (23, 1)

    run(scenario)


def test_rates_can_be_switched_off() -> None:
    async def scenario() -> None:
        async with Slack(rate=EVERYTHING) as slack:
            await asyncio.gather(*(client(slack).chat_postMessage(channel="#sites", text="x") for _ in range(30)))
            assert not slack.exceeded

    run(scenario)


def test_faults_happen_once_and_where_they_were_asked_for() -> None:
    async def scenario() -> None:
        async with Slack(rate=EVERYTHING) as slack:
            web = client(slack)
            web.retry_handlers = []
            slack.faults.add("chat.postMessage", server_error(503))
            with pytest.raises(SlackApiError) as ill:
                await web.chat_postMessage(channel="#sites", text="x")
            assert ill.value.response.status_code == 503
            slack.faults.add("chat.postMessage", refused("fatal_error"))
            with pytest.raises(SlackApiError, match="fatal_error"):
                await web.chat_postMessage(channel="#sites", text="x")
            assert slack.messages("#sites") == []
            slack.faults.add("chat.postMessage", reset())
            with pytest.raises(aiohttp.ClientError):
                await web.chat_postMessage(channel="#sites", text="once")
            assert [each.text for each in slack.messages("#sites")] == ["once"]
            slack.faults.add("chat.postMessage", hang(0.1))
            await web.chat_postMessage(channel="#sites", text="late")
            assert [each.error for each in slack.called("chat.postMessage")] == ["http_503", "fatal_error", "", ""]

    run(scenario)


def test_the_retry_handler_of_slack_sdk_waits_and_gets_through() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            web = client(slack)
            web.retry_handlers = [AsyncRateLimitErrorRetryHandler(max_retry_count=1)]
            slack.faults.add("chat.postMessage", limited(1))
            assert (await web.chat_postMessage(channel="#sites", text="x"))["ok"]
            assert [each.status for each in slack.called("chat.postMessage")] == [429, 200]
            assert not slack.exceeded

    run(scenario)
