"""Posting, changing and deleting: sizes, shapes, and who may."""

from __future__ import annotations

from typing import Any

import pytest
from slack_sdk.errors import SlackApiError

from doce.testing.slack import Slack

from .driven import EVERYTHING, client, run

pytestmark = pytest.mark.filterwarnings("ignore:The top-level `text` argument is missing")


async def refusal(call: Any) -> str:
    with pytest.raises(SlackApiError) as no:
        await call
    return str(no.value.response["error"])


def plain(text: str) -> dict[str, str]:
    return {"type": "plain_text", "text": text}


def button(**more: Any) -> dict[str, Any]:
    return {"type": "actions", "elements": [{"type": "button", "action_id": "a", "text": plain("Go"), **more}]}


def option(number: int) -> dict[str, Any]:
    return {"text": plain(f"option {number}"), "value": str(number)}


def menu(kind: str, count: int) -> dict[str, Any]:
    return {
        "type": "section",
        "text": plain("x"),
        "accessory": {"type": kind, "action_id": "m", "options": [option(n) for n in range(count)]},
    }


def test_a_post_is_kept_with_metadata_and_threads() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            web, channel = client(slack), slack.channel("#sites").id
            metadata = {"event_type": "doce", "event_payload": {"id": "turn_1"}}
            root = await web.chat_postMessage(channel=channel, text="root", metadata=metadata)
            reply = await web.chat_postMessage(channel=channel, text="reply", thread_ts=root["ts"])
            assert root["message"]["user"] == slack.workspace.bot_user
            assert root["message"]["blocks"][0]["type"] == "rich_text"
            replies = await web.conversations_replies(channel=channel, ts=root["ts"], include_all_metadata=True)
            assert [each["ts"] for each in replies["messages"]] == [root["ts"], reply["ts"]]
            assert (replies["messages"][0]["metadata"], replies["messages"][0]["reply_count"]) == (metadata, 1)
            assert replies["messages"][1]["parent_user_id"] == slack.workspace.bot_user
            history = await web.conversations_history(channel=channel)
            assert [each["text"] for each in history["messages"]] == ["root"]
            assert "metadata" not in history["messages"][0]
            assert await refusal(web.chat_postMessage(channel=channel, text="x", thread_ts="1.000001")) == "thread_not_found"
            assert (await web.chat_getPermalink(channel=channel, message_ts=root["ts"]))["permalink"].endswith(
                f"p{root['ts'].replace('.', '')}"
            )

    run(scenario)


def test_a_long_history_comes_in_pages() -> None:
    async def scenario() -> None:
        async with Slack(rate=EVERYTHING) as slack:
            web, channel = client(slack), slack.channel("#sites").id
            sent = [(await slack.say("ada", channel, f"m{number}")).ts for number in range(25)]
            got, pages = [], 0
            async for page in await web.conversations_history(channel=channel, limit=10):
                got += [each["ts"] for each in page["messages"]]
                pages += 1
            assert (pages, got) == (3, sent[::-1])
            some = await web.conversations_history(channel=channel, oldest=sent[3], latest=sent[6], inclusive=True)
            assert [each["ts"] for each in some["messages"]] == sent[3:7][::-1]

    run(scenario)


def test_where_the_bot_is_not_it_cannot_post() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            web = client(slack)
            narrow = client(slack, slack.token_with("chat:write", "channels:history"))
            public = slack.world.add_channel(slack.workspace, "elsewhere", [slack.user("ada").id])
            assert await refusal(narrow.chat_postMessage(channel=public.id, text="x")) == "not_in_channel"
            assert await refusal(web.chat_postMessage(channel=slack.channel("secret").id, text="x")) == "channel_not_found"
            assert await refusal(web.chat_postMessage(channel="C999", text="x")) == "channel_not_found"
            assert await refusal(web.conversations_history(channel=public.id)) == "not_in_channel"
            await web.chat_postMessage(channel=public.id, text="chat:write.public lets it")
            await slack.invite("ada", "secret")
            await web.chat_postMessage(channel=slack.channel("secret").id, text="invited")
            await slack.kick("ada", "secret")
            assert await refusal(web.chat_postMessage(channel=slack.channel("secret").id, text="x")) == "channel_not_found"
            told = [each.event["type"] for each in slack.courier.sent if each.event["type"] != "message"]
            assert told == ["member_joined_channel", "group_left"]

    run(scenario)


def test_sizes_of_text() -> None:
    async def scenario() -> None:
        async with Slack(rate=EVERYTHING) as slack:
            web, channel = client(slack), slack.channel("#sites").id
            posted = await web.chat_postMessage(channel=channel, text="x" * 50_000)
            assert len(posted["message"]["text"]) == 40_000
            ts = posted["ts"]
            await web.chat_update(channel=channel, ts=ts, text="y" * 4000)
            assert await refusal(web.chat_update(channel=channel, ts=ts, text="y" * 4001)) == "msg_too_long"
            assert await refusal(web.chat_update(channel=channel, ts=ts, text="&" * 900)) == "msg_too_long"
            assert await refusal(web.chat_update(channel=channel, ts=ts, text="é" * 2001)) == "msg_too_long"
            assert await refusal(web.chat_postMessage(channel=channel, markdown_text="x" * 12_001)) == "msg_too_long"
            assert await refusal(web.chat_postMessage(channel=channel, text="")) == "no_text"

    run(scenario)


@pytest.mark.parametrize(
    ("blocks", "code"),
    [
        ([{"type": "section", "text": plain("x" * 3000)}], ""),
        ([{"type": "section", "text": plain("x" * 3001)}], "invalid_blocks"),
        ([{"type": "section"}], "invalid_blocks"),
        ([{"type": "markdown", "text": "x" * 12_000}], ""),
        ([{"type": "markdown", "text": "x" * 12_001}], "invalid_blocks"),
        ([{"type": "markdown", "text": "x" * 11_000}, {"type": "section", "text": plain("x" * 2201)}], "msg_blocks_too_long"),
        ([{"type": "divider"}] * 50, ""),
        ([{"type": "divider"}] * 51, "invalid_blocks"),
        ([{"type": "nonsense"}], "invalid_blocks"),
        ([{"type": "button"}], "invalid_blocks"),
        ([{"type": "header", "text": plain("x" * 151)}], "invalid_blocks"),
        ([{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}], "invalid_blocks"),
        ([{"type": "context", "elements": [plain("x")] * 10}], ""),
        ([{"type": "context", "elements": [plain("x")] * 11}], "invalid_blocks"),
        ([{"type": "divider", "block_id": "x" * 256}], "invalid_blocks"),
        ([{"type": "divider", "block_id": "x"}, {"type": "divider", "block_id": "x"}], "invalid_blocks"),
        ([button()], ""),
        ([button(text=plain("x" * 76))], "invalid_blocks"),
        ([button(value="x" * 2001)], "invalid_blocks"),
        ([button(action_id="x" * 256)], "invalid_blocks"),
        ([button(style="loud")], "invalid_blocks"),
        ([button(confirm={"title": plain("Sure?"), "text": plain("x" * 301)})], "invalid_blocks"),
        ([menu("overflow", 1)], "invalid_blocks"),
        ([menu("overflow", 5)], ""),
        ([menu("overflow", 6)], "invalid_blocks"),
        ([menu("static_select", 100)], ""),
        ([menu("static_select", 101)], "invalid_blocks"),
        ([{"type": "image", "image_url": "https://example.com/a.png"}], "invalid_blocks"),
        ([{"type": "plan", "title": "Build", "tasks": [{"task_id": "1", "title": "a", "status": "running"}]}], "invalid_blocks"),
        ("{not json", "invalid_blocks_format"),
    ],
)
def test_blocks(blocks: Any, code: str) -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            call = client(slack).chat_postMessage(channel=slack.channel("#sites").id, blocks=blocks)
            if code:
                assert await refusal(call) == code
                assert slack.messages("#sites") == []
            else:
                assert (await call)["message"]["blocks"][0]["block_id"]

    run(scenario)


def test_only_its_own_messages_can_be_changed_and_deleted() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            web = client(slack)
            said = await slack.say("ada", "#sites", "mine")
            assert await refusal(web.chat_update(channel=said.channel, ts=said.ts, text="x")) == "cant_update_message"
            assert await refusal(web.chat_delete(channel=said.channel, ts=said.ts)) == "cant_delete_message"
            assert await refusal(web.chat_update(channel=said.channel, ts="1.000001", text="x")) == "message_not_found"
            own = await web.chat_postMessage(channel=said.channel, text="a", blocks=[button()])
            await web.chat_update(channel=said.channel, ts=own["ts"], text="b")
            # Blocks that are not mentioned stay, an empty list takes them away.
            assert slack.messages("#sites")[-1].controls[0].action_id == "a"
            await web.chat_update(channel=said.channel, ts=own["ts"], text="c", blocks=[])
            assert slack.messages("#sites")[-1].shown == "c"
            await web.chat_delete(channel=said.channel, ts=own["ts"])
            assert [each.text for each in slack.messages("#sites")] == ["mine"]
            kinds = [each.event.get("subtype") for each in slack.delivered("message")]
            assert kinds == [None, None, "message_changed", "message_changed", "message_deleted"]

    run(scenario)


def test_an_ephemeral_message_is_for_one_who_is_there() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            web, channel = client(slack), slack.channel("#sites").id
            only = await web.chat_postEphemeral(channel=channel, user=slack.user("ben").id, text="psst")
            assert [each.ts for each in slack.ephemeral("ben", channel)] == [only["message_ts"]]
            assert (slack.ephemeral("ada"), slack.messages(channel)) == ([], [])
            assert await refusal(web.chat_update(channel=channel, ts=only["message_ts"], text="x")) == "message_not_found"
            assert await refusal(web.chat_postEphemeral(channel=channel, user="U999", text="x")) == "user_not_in_channel"

    run(scenario)


def test_reactions_come_and_go_once() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            web = client(slack)
            said = await slack.say("ada", "#sites", "hello")
            where = {"channel": said.channel, "timestamp": said.ts}
            await web.reactions_add(**where, name="eyes")
            assert await refusal(web.reactions_add(**where, name="eyes")) == "already_reacted"
            await slack.react("ben", said, "eyes")
            got = await web.reactions_get(**where)
            assert got["message"]["reactions"][0]["count"] == 2
            await web.reactions_remove(**where, name="eyes")
            assert await refusal(web.reactions_remove(**where, name="eyes")) == "no_reaction"
            assert await refusal(web.reactions_add(**where, name="NOT A NAME")) == "invalid_name"
            assert slack.messages("#sites")[0].reactions == {"eyes": (slack.user("ben").id,)}
            assert len(slack.delivered("reaction_added")) == 2

    run(scenario)


def test_links_are_unfurled_where_they_stand() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            slack.app.unfurls = ("doce.example.com",)
            said = await slack.say("ada", "#sites", "see https://doce.example.com/bakery and https://other.example.com/")
            shared = slack.delivered("link_shared")[0].event
            assert [each["url"] for each in shared["links"]] == ["https://doce.example.com/bakery"]
            web = client(slack)
            card = {"blocks": [{"type": "section", "text": plain("bakery: live")}]}
            where = {"channel": said.channel, "ts": said.ts}
            assert await refusal(web.chat_unfurl(**where, unfurls={"https://nowhere.example.com": card})) == "cannot_unfurl_url"
            await web.chat_unfurl(**where, unfurls={"https://doce.example.com/bakery": card})
            assert slack.messages("#sites")[0].shown.endswith("bakery: live")

    run(scenario)
