"""What a manifest asks for is all that the app gets."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from slack_sdk.errors import SlackApiError

from doce.testing.slack import BadManifest, Impossible, Slack

from .driven import client, run

GOOD: dict[str, Any] = {
    "_metadata": {"major_version": 2, "minor_version": 1},
    "display_information": {"name": "doce", "description": "A sentence becomes a site."},
    "features": {
        "bot_user": {"display_name": "doce", "always_online": True},
        "app_home": {"home_tab_enabled": False, "messages_tab_enabled": True, "messages_tab_read_only_enabled": False},
        "agent_view": {"agent_description": "Builds sites."},
        "slash_commands": [{"command": "/doce", "description": "Build a site", "usage_hint": "new a bakery", "should_escape": True}],
        "shortcuts": [{"name": "Send to doce", "type": "message", "callback_id": "send", "description": "Build this"}],
        "unfurl_domains": ["doce.example.com"],
    },
    "oauth_config": {
        "scopes": {"bot": ["app_mentions:read", "assistant:write", "channels:history", "chat:write", "commands", "links:read"]},
    },
    "settings": {
        "event_subscriptions": {"bot_events": ["app_mention", "message.channels"]},
        "interactivity": {"is_enabled": True},
        "socket_mode_enabled": True,
    },
}


def test_what_was_not_asked_for_is_not_there() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            slack.apply(GOOD)
            web = client(slack)
            said = await slack.say("ada", "#sites", "@doce hello")
            await slack.react("ada", said, "eyes")
            assert [each.event["type"] for each in slack.courier.sent] == ["message", "app_mention"]
            with pytest.raises(SlackApiError) as no:
                await web.reactions_add(channel=said.channel, timestamp=said.ts, name="eyes")
            assert (no.value.response["error"], no.value.response["needed"]) == ("missing_scope", "reactions:write")
            with pytest.raises(Impossible, match="not a valid command"):
                await slack.slash("ada", "#sites", "/other")
            with pytest.raises(Impossible, match="no global shortcut"):
                await slack.shortcut("ada", "send")
            with pytest.raises(Impossible, match="no home tab"):
                await slack.open_home("ada")
            command = await slack.slash("ada", "#sites", "/doce", "allow @ben")
            assert command.payload["text"] == f"allow <@{slack.user('ben').id}|ben>"
            status = await web.agents_sessions_setStatus(channel_id=said.channel, thread_ts=said.ts, status="processing")
            assert status["warning"] == "missing_agent_session_stopped_event_subscription"

    run(scenario)


def changed(path: str, value: Any) -> dict[str, Any]:
    made = copy.deepcopy(GOOD)
    place: Any = made
    *parents, last = path.split(".")
    for name in parents:
        place = place[int(name)] if name.isdigit() else place[name]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return made


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("display_information.name", "x" * 36, "1 to 35 characters"),
        ("display_information.name", None, "display_information.name is missing"),
        ("display_information.long_description", "short", "174 to 4000"),
        ("surprise", {}, "has no field surprise"),
        ("features.slash_commands.0.command", "doce", "doce is not a command"),
        ("features.slash_commands.0.description", None, "description is missing"),
        ("features.shortcuts.0.type", "both", "global or message"),
        ("features.unfurl_domains", ["a.com"] * 6, "more than 5"),
        ("oauth_config.scopes.bot", ["chat:write", "made:up"], "no bot scope made:up"),
        ("oauth_config.scopes.bot", ["chat:write", "channels:history", "app_mentions:read"], "needs the scope commands"),
        ("settings.event_subscriptions.bot_events", ["message.groups"], "message.groups needs the scope groups:history"),
        ("settings.event_subscriptions.bot_events", ["nothing"], "no bot event nothing"),
        ("settings.socket_mode_enabled", False, "/doce needs an url, or socket mode"),
        ("settings.socket_mode_enabled", "yes", "must be true or false"),
        ("settings.interactivity.is_enabled", False, "shortcuts need"),
        ("features.bot_user", None, "need features.bot_user"),
        ("features.assistant_view", {"assistant_description": "x"}, "exclude each other"),
    ],
)
def test_what_slack_would_not_take(path: str, value: Any, said: str) -> None:
    async def scenario() -> None:
        slack = Slack()
        with pytest.raises(BadManifest, match=said):
            slack.apply(changed(path, value))
        assert slack.app.events is None

    run(scenario)
