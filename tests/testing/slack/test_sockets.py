"""Socket Mode: several connections, lost ones, refreshed ones, and what comes again on the next."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from doce.testing.slack import Slack

from .driven import bot, client, run, socket_mode

pytestmark = pytest.mark.slow


class Socket:
    """A connection by hand."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def hear(self) -> dict[str, Any]:
        said: dict[str, Any] = await self.socket.receive_json(timeout=5)
        return said

    async def ack(self, envelope: dict[str, Any], payload: dict[str, Any] | None = None) -> None:
        await self.socket.send_json({"envelope_id": envelope["envelope_id"]} | ({"payload": payload} if payload else {}))


async def connect(slack: Slack, session: aiohttp.ClientSession) -> Socket:
    address = await client(slack, slack.app.app_token).apps_connections_open(app_token=slack.app.app_token)
    made = Socket(await session.ws_connect(address["url"]))
    hello = await made.hear()
    assert hello["type"] == "hello"
    assert hello["connection_info"] == {"app_id": slack.app.id}
    return made


def test_an_envelope_carries_the_event_and_its_acknowledgement_ends_it() -> None:
    async def scenario() -> None:
        async with Slack() as slack, aiohttp.ClientSession() as session:
            socket = await connect(slack, session)
            said = await slack.say("ada", "#sites", "hello <b> & #general")
            envelope = await socket.hear()
            assert (envelope["type"], envelope["retry_attempt"], envelope["accepts_response_payload"]) == ("events_api", 0, False)
            payload = envelope["payload"]
            assert (payload["type"], payload["team_id"], payload["api_app_id"]) == ("event_callback", slack.workspace.id, slack.app.id)
            assert payload["authorizations"][0]["user_id"] == slack.workspace.bot_user
            general = slack.channel("general").id
            event = payload["event"]
            assert event["text"] == f"hello &lt;b&gt; &amp; <#{general}|general>"
            assert (event["channel_type"], event["user"], event["ts"], event["event_ts"]) == (
                "channel",
                slack.user("ada").id,
                said.ts,
                said.ts,
            )
            elements = event["blocks"][0]["elements"][0]["elements"]
            assert elements == [{"type": "text", "text": "hello <b> & "}, {"type": "channel", "channel_id": general}]
            await socket.ack(envelope)
            await slack.settled()
            assert slack.courier.sent[0].acked

    run(scenario)


def test_a_ticket_opens_one_connection() -> None:
    async def scenario() -> None:
        async with Slack() as slack, aiohttp.ClientSession() as session:
            url = slack.sockets.address()
            _open = await session.ws_connect(url)
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await session.ws_connect(url)

    run(scenario)


def test_what_was_not_acknowledged_comes_again_on_the_next_connection() -> None:
    async def scenario() -> None:
        async with Slack() as slack, aiohttp.ClientSession() as session:
            first = await connect(slack, session)
            await slack.say("ada", "#sites", "hello")
            lost = await first.hear()
            slack.sockets.drop()
            second = await connect(slack, session)
            again = await second.hear()
            assert again["payload"]["event_id"] == lost["payload"]["event_id"]
            assert again["envelope_id"] != lost["envelope_id"]
            assert again["retry_attempt"] == 1
            await second.ack(again)
            await slack.settled()
            assert [each.outcome for each in slack.courier.sent[0].attempts] == ["connection_closed", "ok"]

    run(scenario)


def test_events_wait_for_a_connection_and_commands_do_not() -> None:
    async def scenario() -> None:
        async with Slack() as slack, aiohttp.ClientSession() as session:
            await slack.say("ada", "#sites", "hello")
            assert (await slack.slash("ada", "#sites", "/doce", "x")).error == "dispatch_failed"
            socket = await connect(slack, session)
            await socket.ack(await socket.hear())
            await slack.settled()
            assert slack.delivered("message")[0].acked

    run(scenario)


def test_several_connections_take_turns() -> None:
    async def scenario() -> None:
        async with Slack() as slack, aiohttp.ClientSession() as session:
            sockets = [await connect(slack, session), await connect(slack, session)]
            for number in range(4):
                await slack.say("ada", "#sites", str(number))
            heard = [(await each.hear())["payload"]["event"]["text"] for each in sockets for _ in range(2)]
            assert sorted(heard) == ["0", "1", "2", "3"]

    run(scenario)


def test_retries_pass_by_the_twins_clock_and_end() -> None:
    async def scenario() -> None:
        async with Slack(ack_timeout=0.05) as slack, aiohttp.ClientSession() as session:
            _deaf = await connect(slack, session)
            await slack.say("ada", "#sites", "hello")
            delivery = slack.courier.sent[0]
            await slack.until(lambda _: len(delivery.attempts) == 2)
            slack.clock.advance(60)
            await slack.until(lambda _: len(delivery.attempts) == 3)
            slack.clock.advance(300)
            await slack.until(lambda _: delivery.given_up)
            assert [each.number for each in delivery.attempts] == [0, 1, 2, 3]

    run(scenario)


def test_bolt_comes_back_after_a_refresh_and_after_a_lost_connection() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            app, heard = bot(slack), []

            @app.event("message")
            async def message(event: Any) -> None:
                heard.append(event["text"])

            async with socket_mode(slack, app):
                await slack.sockets.refresh()
                await slack.until(lambda _: slack.sockets.opened == 2)
                await slack.say("ada", "#sites", "one")
                await slack.until(lambda _: heard == ["one"])
                slack.sockets.drop()
                await slack.say("ada", "#sites", "two")
                await slack.until(lambda _: heard == ["one", "two"], timeout=20)

    run(scenario)


def test_bad_weather_doubles_delays_and_shuffles() -> None:
    async def scenario() -> None:
        async with Slack() as slack, aiohttp.ClientSession() as session:
            socket = await connect(slack, session)
            slack.courier.weather.duplicates, slack.courier.weather.shuffle = 1.0, 5
            said = [(await slack.say("ada", "#sites", str(number))).text for number in range(5)]
            heard = []
            for _ in range(10):
                envelope = await socket.hear()
                heard.append(envelope["payload"]["event"]["text"])
                await socket.ack(envelope)
            assert sorted(heard) == sorted(said * 2)
            assert list(dict.fromkeys(heard)) != said
            await slack.settled()
            slack.courier.again(slack.courier.sent[0])
            again = await socket.hear()
            assert (again["payload"]["event"]["text"], again["retry_attempt"]) == ("0", 1)
            await socket.ack(again)

    run(scenario)


def test_what_a_test_waits_for_and_does_not_happen_is_said_with_the_state() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            await slack.say("ada", "#sites", "the last word")
            with pytest.raises(AssertionError, match="the last word"):
                await slack.until(lambda _: False, timeout=0.01)
            waiting = asyncio.create_task(slack.until(lambda _: len(slack.messages("#sites")) == 2))
            await asyncio.sleep(0)
            await slack.say("ben", "#sites", "another")
            assert await asyncio.wait_for(waiting, 1)

    run(scenario)
