"""What people do arrives as Slack would tell it, and what they cannot do is refused."""

from __future__ import annotations

from typing import Any

import pytest

from doce.testing.slack import Impossible, Slack

from .driven import client, run


def events(slack: Slack) -> list[dict[str, Any]]:
    return [each.event for each in slack.courier.sent]


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("a < b & c > d", "a &lt; b &amp; c &gt; d"),
        ("@ben look at https://example.com/?a=1&b=2 now", "<@{ben}> look at <https://example.com/?a=1&amp;b=2> now"),
        ("ask @nobody in #sites, or #nowhere", "ask @nobody in <#{sites}|sites>, or #nowhere"),
        ("@channel wake up, @here", "<!channel> wake up, <!here>"),
        ("<!channel> is not for typing", "&lt;!channel&gt; is not for typing"),
        ("mail me@ben.example", "mail me@ben.example"),
        ("@doce, please", "<@{bot}>, please"),
        ("*bold* `code` “quotes” — 日本語 🎉", "*bold* `code` “quotes” — 日本語 🎉"),
    ],
)
def test_what_is_typed_becomes_slacks_markup(typed: str, sent: str) -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            said = await slack.say("ada", "#sites", typed)
            names = {"ben": slack.user("ben").id, "sites": slack.channel("sites").id, "bot": slack.workspace.bot_user}
            assert said.text == sent.format(**names)

    run(scenario)


def test_a_reply_says_whose_thread_it_is_in() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            root = await slack.say("ada", "#sites", "root")
            await slack.say("ben", "#sites", "@doce reply", thread=root.ts)
            reply, mention = events(slack)[1:]
            assert (reply["type"], reply["thread_ts"], reply["parent_user_id"]) == ("message", root.ts, root.user)
            assert (mention["type"], mention["thread_ts"], mention["ts"]) == ("app_mention", root.ts, reply["ts"])
            assert "channel_type" not in mention
            assert [each.author for each in slack.thread("#sites", root.ts)] == ["ada", "ben"]
            with pytest.raises(Impossible, match="no thread"):
                await slack.say("ben", "#sites", "x", thread="1.000001")

    run(scenario)


def test_a_direct_message_is_no_mention() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            said = await slack.say("ada", "@doce", "@doce hello")
            assert [(each["type"], each["channel_type"]) for each in events(slack)] == [("message", "im")]
            assert said.channel == slack.direct("ada").id
            assert said.channel.startswith("D")
            with pytest.raises(Impossible, match="ben is not in"):
                await slack.say("ben", said.channel, "x")

    run(scenario)


def test_private_channels_are_silent_until_the_bot_is_there() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            await slack.say("ada", "secret", "@doce are you there?")
            assert events(slack) == []
            await slack.invite("ada", "secret")
            await slack.say("ada", "secret", "and now?")
            joined, message = events(slack)
            assert (joined["type"], joined["user"], joined["inviter"]) == (
                "member_joined_channel",
                slack.workspace.bot_user,
                slack.user("ada").id,
            )
            assert message["channel_type"] == "group"
            with pytest.raises(Impossible, match="cleo is not in"):
                await slack.invite("cleo", "secret")

    run(scenario)


def test_editing_and_deleting_ones_own() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            said = await slack.say("ada", "#sites", "blue")
            await slack.edit("ada", said, "green")
            changed = events(slack)[1]
            assert (changed["subtype"], changed["hidden"], changed["channel_type"]) == ("message_changed", True, "channel")
            assert (changed["message"]["text"], changed["previous_message"]["text"], changed["message"]["ts"]) == ("green", "blue", said.ts)
            assert changed["message"]["edited"]["user"] == said.user
            with pytest.raises(Impossible, match="did not write"):
                await slack.edit("ben", said, "red")
            await slack.delete("ada", said)
            deleted = events(slack)[2]
            assert (deleted["subtype"], deleted["deleted_ts"], deleted["previous_message"]["text"]) == ("message_deleted", said.ts, "green")
            assert slack.messages("#sites") == []

    run(scenario)


def test_a_stone_stands_where_replies_remain() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            root = await slack.say("ada", "#sites", "@doce new")
            await client(slack).chat_postMessage(channel=root.channel, text="working", thread_ts=root.ts)
            await slack.delete("ada", root)
            buried = events(slack)[-1]
            assert (buried["subtype"], buried["message"]["subtype"]) == ("message_changed", "tombstone")
            assert buried["previous_message"]["text"] == f"<@{slack.workspace.bot_user}> new"
            await client(slack).chat_postMessage(channel=root.channel, text="done", thread_ts=root.ts)
            assert [each.text for each in slack.thread("#sites", root.ts)] == ["This message was deleted.", "working", "done"]

    run(scenario)


def test_reactions_name_the_message_and_its_author() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            said = await slack.say("ada", "#sites", "hello")
            await slack.react("ben", said, "octagonal_sign")
            await slack.react("ben", said, "octagonal_sign")
            await slack.unreact("ben", said, "octagonal_sign")
            with pytest.raises(Impossible):
                await slack.unreact("ben", said, "octagonal_sign")
            added, removed = events(slack)[1:]
            assert (added["type"], removed["type"]) == ("reaction_added", "reaction_removed")
            assert added["item"] == {"type": "message", "channel": said.channel, "ts": said.ts}
            assert (added["user"], added["item_user"], added["reaction"]) == (slack.user("ben").id, said.user, "octagonal_sign")

    run(scenario)


def test_a_command_is_not_for_threads_and_not_for_strangers() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            root = await slack.say("ada", "#sites", "root")
            with pytest.raises(Impossible, match="not supported in threads"):
                await slack.slash("ada", "#sites", "/doce", "stop", thread=root.ts)
            with pytest.raises(Impossible, match="cleo is not in secret"):
                await slack.slash("cleo", "secret", "/doce")
            with pytest.raises(Impossible, match="nobody here is called 'zoe'"):
                await slack.say("zoe", "#sites", "x")
            with pytest.raises(Impossible, match="there is no channel '#zoo'"):
                await slack.say("ada", "#zoo", "x")

    run(scenario)


def test_another_apps_message_has_no_user() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            await slack.people.say_as_bot("deploybot", "#sites", f"<@{slack.workspace.bot_user}> deployed")
            message, mention = events(slack)
            assert (message["subtype"], message["bot_id"], "user" in message) == ("bot_message", "B99999999", False)
            assert mention["type"] == "app_mention"

    run(scenario)


def test_two_workspaces_know_nothing_of_each_other() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            beta = slack.world.add_workspace("Beta")
            dora = slack.world.add_user(beta, "dora")
            token = slack.install(beta)
            room = slack.world.add_channel(beta, "beta", [dora.id, beta.bot_user])
            said = await slack.say(dora, room, "@ada hello")
            assert said.text == "@ada hello"
            assert slack.courier.sent[0].payload["team_id"] == beta.id
            assert slack.courier.sent[0].payload["authorizations"][0]["user_id"] == beta.bot_user
            with pytest.raises(Exception, match="channel_not_found"):
                await client(slack).chat_postMessage(channel=room.id, text="x")
            await client(slack, token).chat_postMessage(channel=room.id, text="x")
            slack.uninstall(beta)
            await slack.say(dora, room, "anybody?")
            assert [each.event["type"] for each in slack.courier.sent if each.team == beta.id][-2:] == ["app_uninstalled", "tokens_revoked"]
            assert (await client(slack).auth_test())["ok"]

    run(scenario)


def test_time_moved_by_hand_wakes_who_waits_for_it() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            direct = slack.direct("ada")
            asked = await slack.say("ada", direct, "go")
            await client(slack).chat_startStream(channel=direct.id, thread_ts=asked.ts, markdown_text="x")
            slack.advance(300)
            assert await slack.until(lambda _: slack.thread(direct, asked.ts)[1].stream == "dead", timeout=1)

    run(scenario)
