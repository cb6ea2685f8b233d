"""HTTP mode: what is signed how, what is tried again, and answers on response addresses."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import aiohttp
import pytest
from aiohttp import web
from slack_sdk.signature import SignatureVerifier
from slack_sdk.webhook.async_client import AsyncWebhookClient

from doce.testing.slack import Slack, Undelivered

from .driven import bot, http_mode, run

Reply = Callable[[web.Request], web.Response]


class Endpoint:
    """A request URL by hand: keeps what came, answers what it is told to."""

    def __init__(self) -> None:
        self.came: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[Reply] = []
        self.url = ""

    async def serve(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.came.append((dict(request.headers), body))
        if request.content_type == "application/json" and json.loads(body)["type"] == "url_verification":
            return web.json_response({"challenge": json.loads(body)["challenge"]})
        return self.answers.pop(0)(request) if self.answers else web.Response()


@asynccontextmanager
async def endpoint() -> AsyncIterator[Endpoint]:
    made, app = Endpoint(), web.Application()
    app.router.add_post("/slack", made.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/slack"
    yield made
    await runner.cleanup()


def test_slack_sdk_accepts_the_signatures_of_every_kind_of_request() -> None:
    async def scenario() -> None:
        async with Slack() as slack, endpoint() as there:
            await slack.use_http(there.url)
            said = await slack.say("ada", "#sites", "grüße ✓")
            await slack.slash("ada", "#sites", "/doce", "new a café")
            await slack.shortcut("ada", "fix", said)
            await slack.settled()
            verifier = SignatureVerifier(slack.app.signing_secret)
            assert len(there.came) == 4
            assert all(verifier.is_valid_request(body, headers) for headers, body in there.came)
            assert not SignatureVerifier("another").is_valid_request(there.came[0][1], there.came[0][0])
            form = {name: value[0] for name, value in parse_qs(there.came[-2][1].decode()).items()}
            assert (form["command"], form["text"], form["user_name"], form["channel_name"]) == ("/doce", "new a café", "ada", "sites")
            payload = json.loads(parse_qs(there.came[-1][1].decode())["payload"][0])
            assert (payload["type"], payload["callback_id"], payload["message"]["ts"]) == ("message_action", "fix", said.ts)

    run(scenario)


def test_bolt_refuses_what_is_old_and_what_another_secret_signed() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            app = bot(slack)

            @app.command("/doce")
            async def doce(ack: Any) -> None:
                await ack()

            async with http_mode(slack, app):
                assert (await slack.slash("ada", "#sites", "/doce")).acked
                slack.requests.age = 400
                assert (await slack.slash("ada", "#sites", "/doce")).error == "dispatch_failed"
                slack.requests.age, slack.requests.secret = 0, "another"
                late = await slack.slash("ada", "#sites", "/doce")
                assert late.attempts[0].outcome == "http_error:401"

    run(scenario)


def test_an_address_that_does_not_meet_the_challenge_is_not_taken() -> None:
    async def scenario() -> None:
        async with Slack() as slack, endpoint() as there:
            with pytest.raises(Undelivered):
                await slack.use_http(there.url + "/wrong")
            assert slack.app.socket

    run(scenario)


def test_a_failed_event_is_posted_again_until_the_app_asks_for_peace() -> None:
    async def scenario() -> None:
        async with Slack() as slack, endpoint() as there:
            await slack.use_http(there.url)
            slack.retry_delays = (0.0, 0.0, 0.0)
            there.answers = [lambda _: web.Response(status=500), lambda _: web.Response(status=302, headers={"Location": "/"})]
            await slack.say("ada", "#sites", "one")
            await slack.settled()
            heads = [headers for headers, _ in there.came[1:]]
            assert [each.get("X-Slack-Retry-Num") for each in heads] == [None, "1", "2"]
            assert heads[1]["X-Slack-Retry-Reason"] == "http_error"
            assert len({body for _, body in there.came[1:]}) == 1
            there.answers = [lambda _: web.Response(status=500, headers={"x-slack-no-retry": "1"})]
            await slack.say("ada", "#sites", "two")
            await slack.settled()
            assert (slack.courier.sent[1].given_up, len(slack.courier.sent[1].attempts)) == (True, 1)

    run(scenario)


def test_a_response_address_is_good_for_five_uses_and_half_an_hour() -> None:
    async def scenario() -> None:
        async with Slack() as slack, endpoint() as there:
            await slack.use_http(there.url)
            said = await slack.slash("ada", "#sites", "/doce", "list")
            url = said.payload["response_url"]
            web_hook = AsyncWebhookClient(url)
            assert (await web_hook.send(text="one")).status_code == 200
            assert (await web_hook.send(text="two", response_type="in_channel")).body == "ok"
            assert [each.text for each in slack.ephemeral("ada", "#sites")] == ["one"]
            assert [each.text for each in slack.messages("#sites")] == ["two"]
            for _ in range(3):
                await web_hook.send(text="more")
            assert (await web_hook.send(text="six")).status_code == 404
            late = await slack.slash("ada", "#sites", "/doce", "list")
            slack.clock.advance(1801)
            assert "expired_url" in (await AsyncWebhookClient(late.payload["response_url"]).send(text="x")).body

    run(scenario)


def test_a_click_in_what_only_one_sees_can_replace_and_delete_it() -> None:
    async def scenario() -> None:
        async with Slack() as slack, endpoint() as there, aiohttp.ClientSession() as session:
            await slack.use_http(there.url)
            button = {"type": "button", "action_id": "more", "text": {"type": "plain_text", "text": "More"}, "value": "2"}
            there.answers = [lambda _: web.json_response({"text": "page 1", "blocks": [{"type": "actions", "elements": [button]}]})]
            await slack.slash("ada", "#sites", "/doce", "list")
            message = slack.world.ephemerals[0]
            assert slack.ephemeral("ada")[0].control("More").value == "2"
            with pytest.raises(AssertionError, match="does not see"):
                await slack.click("ben", message, "more")
            pressed = await slack.click("ada", slack.ephemeral("ada")[0], "More")
            assert pressed.payload["container"]["is_ephemeral"]
            assert "message" not in pressed.payload
            url = pressed.payload["response_url"]
            await session.post(url, json={"replace_original": True, "text": "page 2"})
            assert [each.shown for each in slack.ephemeral("ada")] == ["page 2"]
            with pytest.raises(AssertionError, match="no 'more'"):
                await slack.click("ada", message, "more")
            await session.post(url, json={"delete_original": True})
            assert slack.ephemeral("ada") == []

    run(scenario)
