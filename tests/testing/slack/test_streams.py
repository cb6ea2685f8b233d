"""Streamed messages: what is shown, what is refused, how they end."""

from __future__ import annotations

from typing import Any

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from doce.testing.slack import Impossible, Slack

from .driven import EVERYTHING, client, run

TASK = {"type": "task_update", "id": "t1", "title": "Edit index.html", "status": "in_progress"}


async def opened(slack: Slack, web: AsyncWebClient, **more: Any) -> tuple[str, str, str]:
    """Channel, root and ts of a new stream in a channel."""
    root = await slack.say("ada", "#sites", "go")
    where = {"recipient_team_id": slack.workspace.id, "recipient_user_id": slack.user("ada").id}
    begun = await web.chat_startStream(channel=root.channel, thread_ts=root.ts, **(where | more))
    return root.channel, root.ts, begun["ts"]


async def refusal(call: Any) -> str:
    with pytest.raises(SlackApiError) as no:
        await call
    return str(no.value.response["error"])


def test_the_helper_of_slack_sdk_writes_a_message_with_tasks_and_buttons() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            root = await slack.say("ada", "#sites", "go")
            web = client(slack)
            stream = await web.chat_stream(
                channel=root.channel, thread_ts=root.ts, recipient_team_id=slack.workspace.id, recipient_user_id=root.user
            )
            await stream.append(markdown_text="Hello **")
            await stream.append(chunks=[TASK])
            await stream.append(chunks=[TASK | {"status": "complete", "title": "Edited index.html", "details": "+3", "output": "ok"}])
            assert slack.thread("#sites", root.ts)[1].stream == "streaming"
            button = {"type": "button", "action_id": "deploy", "text": {"type": "plain_text", "text": "Deploy"}, "value": "v1"}
            await stream.append(markdown_text="world**")
            await stream.stop(blocks=[{"type": "actions", "elements": [button]}])
            seen = slack.thread("#sites", root.ts)[1]
            assert (seen.stream, seen.text) == ("complete", "Hello **world**")
            assert [(task.title, task.status, task.details, task.output) for task in seen.tasks] == [
                ("Edited index.html", "complete", "+3", "ok")
            ]
            assert [block["type"] for block in seen.blocks] == ["markdown", "task_card", "markdown", "actions"]
            assert seen.control("Deploy").value == "v1"
            assert [call.method for call in slack.calls] == ["chat.startStream", "chat.appendStream", "chat.stopStream"]

    run(scenario)


def test_a_stream_ends_five_minutes_after_its_start_and_can_then_be_updated() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            web = client(slack)
            channel, root, ts = await opened(slack, web, markdown_text="so far")
            assert await refusal(web.chat_update(channel=channel, ts=ts, text="no")) == "streaming_state_conflict"
            assert await refusal(web.chat_delete(channel=channel, ts=ts)) == "cant_delete_message"
            slack.clock.advance(299)
            await web.chat_appendStream(channel=channel, ts=ts, markdown_text=" and more")
            slack.clock.advance(1)
            assert await refusal(web.chat_appendStream(channel=channel, ts=ts, markdown_text="!")) == "message_not_in_streaming_state"
            assert await refusal(web.chat_stopStream(channel=channel, ts=ts)) == "message_not_in_streaming_state"
            assert slack.thread(channel, root)[1].stream == "dead"
            assert slack.thread(channel, root)[1].text == "so far and more"
            await web.chat_update(channel=channel, ts=ts, text="all", blocks=[{"type": "markdown", "text": "all of it"}])
            assert slack.thread(channel, root)[1].shown == "all of it"

    run(scenario)


def test_a_channel_has_to_be_told_who_it_is_for_and_a_direct_conversation_not() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            web = client(slack)
            root = await slack.say("ada", "#sites", "go")
            here = {"channel": root.channel, "thread_ts": root.ts}
            team, user = slack.workspace.id, root.user
            assert await refusal(web.chat_startStream(**here)) == "missing_recipient_team_id"
            assert await refusal(web.chat_startStream(**here, recipient_team_id=team)) == "missing_recipient_user_id"
            assert await refusal(web.chat_startStream(**here, recipient_team_id=team, recipient_user_id="U9")) == "user_not_found"
            wrong = {"channel": root.channel, "thread_ts": "1.000001", "recipient_team_id": team, "recipient_user_id": user}
            assert await refusal(web.chat_startStream(**wrong)) == "thread_not_found"
            direct = slack.world.direct(slack.user("ada"))
            asked = await slack.say("ada", direct, "go")
            await web.chat_startStream(channel=direct.id, thread_ts=asked.ts)

    run(scenario)


@pytest.mark.parametrize(
    ("chunk", "code"),
    [
        ({"type": "surprise"}, "invalid_chunks"),
        ({"type": "markdown_text", "text": "x" * 12_001}, "msg_too_long"),
        (TASK | {"status": "running"}, "invalid_chunks"),
        (TASK | {"title": "x" * 257}, "invalid_chunks"),
        (TASK | {"details": "x" * 257}, "invalid_chunks"),
        ({"type": "plan_update", "title": "x" * 257}, "invalid_chunks"),
        ({"type": "blocks", "blocks": [{"type": "what"}]}, "invalid_blocks"),
    ],
)
def test_chunks_are_checked(chunk: dict[str, Any], code: str) -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            web = client(slack)
            channel, root, ts = await opened(slack, web)
            assert await refusal(web.chat_appendStream(channel=channel, ts=ts, chunks=[chunk])) == code
            assert slack.thread(channel, root)[1].shown == ""

    run(scenario)


def test_a_persons_stop_ends_the_stream_and_tells_the_app() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            web = client(slack)
            channel, root, ts = await opened(slack, web)
            assert slack.world.sessions[channel, root].status == "processing"
            await slack.stop_stream("ada", channel, root)
            assert await refusal(web.chat_appendStream(channel=channel, ts=ts, markdown_text="x")) == "stopped_by_user"
            told = slack.delivered("agent_session_stopped")[0].event
            assert (told["thread_ts"], told["user"], told["streaming_message_ts"]) == (root, slack.user("ada").id, [ts])
            await web.agents_sessions_setStatus(channel_id=channel, thread_ts=root, status="active")
            with pytest.raises(Impossible):
                await slack.stop_stream("ada", channel, root)

    run(scenario)


def test_where_there_are_no_streams_the_methods_are_unknown() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            slack.streams = False
            with pytest.raises(SlackApiError) as no:
                await opened(slack, client(slack))
            assert no.value.response["error"] == "unknown_method"

    run(scenario)


def test_a_plan_gathers_its_tasks_and_details_add_up() -> None:
    async def scenario() -> None:
        async with Slack(rate=EVERYTHING) as slack:
            web = client(slack)
            channel, root, ts = await opened(slack, web, task_display_mode="plan")
            for more in ("one ", "two"):
                await web.chat_appendStream(
                    channel=channel, ts=ts, chunks=[{"type": "plan_update", "title": "Build"}, TASK | {"details": more}]
                )
            await web.chat_stopStream(channel=channel, ts=ts, markdown_text="done", session_status="suspended")
            seen = slack.thread(channel, root)[1]
            assert (seen.plan, seen.tasks[0].details, seen.text) == ("Build", "one two", "done")
            assert [block["type"] for block in seen.blocks] == ["plan", "markdown"]
            assert slack.world.sessions[channel, root].status == "suspended"

    run(scenario)
