"""A real Bolt app on the twin, over Socket Mode and over HTTP: the same scenarios, told once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from slack_bolt.async_app import AsyncApp

from doce.testing.slack import Slack

from .driven import bot, http_mode, run, socket_mode

pytestmark = pytest.mark.slow

Way = Callable[[Slack, AsyncApp], AbstractAsyncContextManager[Any]]


@pytest.fixture(params=[socket_mode, http_mode], ids=["socket", "http"])
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.param
    return found


def test_a_command_is_acknowledged_with_words_that_only_its_author_sees(way: Way) -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            app = bot(slack)

            @app.command("/doce")
            async def doce(ack: Any, command: Any) -> None:
                await ack(f"you said {command['text']}")

            async with way(slack, app):
                said = await slack.slash("ada", "#sites", "/doce", "new a bakery")
                assert (said.acked, said.error) == (True, "")
                assert [each.text for each in slack.ephemeral("ada", "#sites")] == ["you said new a bakery"]
                assert slack.ephemeral("ben") == []

    run(scenario)


def test_a_mention_arrives_as_two_events_about_one_message(way: Way) -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            app, heard = bot(slack), []

            @app.event("app_mention")
            async def mention(event: Any, body: Any, say: Any) -> None:
                heard.append((event["type"], event["ts"], body["event_id"]))
                await say("yes?", thread_ts=event["ts"])

            @app.event("message")
            async def message(event: Any, body: Any) -> None:
                heard.append((event["type"], event["ts"], body["event_id"]))

            async with way(slack, app):
                asked = await slack.say("ada", "#sites", "@doce are you there?")
                await slack.until(lambda _: len(heard) == 2 and len(slack.thread("#sites", asked.ts)) == 2)
                await slack.settled()
                assert {kind for kind, _, _ in heard} == {"app_mention", "message"}
                assert {ts for _, ts, _ in heard} == {asked.ts}
                assert len({event for _, _, event in heard}) == 2
                assert slack.thread("#sites", asked.ts)[1].text == "yes?"
                assert slack.thread("#sites", asked.ts)[0].text == f"<@{slack.workspace.bot_user}> are you there?"
                # The bot hears itself, too; Bolt ignores that.
                assert any(each.event.get("bot_id") for each in slack.delivered("message"))

    run(scenario)


def test_a_button_opens_a_dialog_whose_submission_is_checked_and_then_closes_it(way: Way) -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            app = bot(slack)
            field = {"type": "plain_text_input", "action_id": "name"}
            modal = {
                "type": "modal", "callback_id": "make", "title": {"type": "plain_text", "text": "New site"},
                "submit": {"type": "plain_text", "text": "Create"},
                "blocks": [{"type": "input", "block_id": "name", "label": {"type": "plain_text", "text": "Name"}, "element": field}],
            }  # fmt: skip

            @app.action("open")
            async def opened(ack: Any, body: Any, client: Any) -> None:
                await ack()
                await client.views_open(trigger_id=body["trigger_id"], view=modal)

            @app.view("make")
            async def made(ack: Any, view: Any, client: Any) -> None:
                name = view["state"]["values"]["name"]["name"]["value"]
                if name == "bad":
                    await ack(response_action="errors", errors={"name": "not that"})
                    return
                await ack()
                await client.chat_postMessage(channel=slack.channel("#sites").id, text=f"made {name}")

            async with way(slack, app):
                button = {"type": "button", "action_id": "open", "text": {"type": "plain_text", "text": "New"}, "value": "1"}
                posted = await app.client.chat_postMessage(
                    channel="#sites", text="a button", blocks=[{"type": "actions", "elements": [button]}]
                )
                message = slack.world.message("#sites", posted["ts"])
                pressed = await slack.click("ben", message, "open")
                assert pressed.acked
                view = await slack.until(lambda _: slack.modal("ben"))
                await slack.submit("ben", view, {"name": "bad"})
                assert view.errors == {"name": "not that"}
                assert slack.modal("ben") is view
                await slack.submit("ben", view, {"name": "bakery"})
                assert slack.modal("ben") is None
                await slack.until(lambda _: slack.messages("#sites")[-1].text == "made bakery")

    run(scenario)


def test_what_is_not_acknowledged_in_time_comes_again(way: Way) -> None:
    async def scenario() -> None:
        async with Slack(ack_timeout=0.2) as slack:
            slack.retry_delays = (0.0, 0.0)
            app, tries, gate = bot(slack), [], asyncio.Event()

            @app.middleware
            async def slow(request: Any, next: Any) -> None:
                if request.body.get("event", {}).get("type") == "message":
                    tries.append(request.headers.get("x-slack-retry-num"))
                    if len(tries) < 3:
                        await gate.wait()
                await next()

            @app.event("message")
            async def message() -> None: ...

            async with way(slack, app):
                await slack.say("ada", "#sites", "hello")
                await slack.settled()
                delivery = slack.delivered("message")[0]
                assert delivery.acked
                assert [each.outcome for each in delivery.attempts] == ["http_timeout", "http_timeout", "ok"]
                assert tries == ([["0"], ["1"], ["2"]] if slack.app.socket else [None, ["1"], ["2"]])
                assert not delivery.given_up
                gate.set()

    run(scenario)


def test_a_command_that_nobody_answers_is_not_tried_again(way: Way) -> None:
    async def scenario() -> None:
        async with Slack(ack_timeout=0.2) as slack:
            app, gate = bot(slack), asyncio.Event()

            @app.command("/doce")
            async def doce(ack: Any) -> None:
                await gate.wait()
                await ack()

            async with way(slack, app):
                said = await slack.slash("ada", "#sites", "/doce", "new")
                assert (said.acked, said.error, len(said.attempts)) == (False, "operation_timeout", 1)
                await slack.settled()
                gate.set()

    run(scenario)
