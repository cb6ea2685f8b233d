"""Whatever is called with whatever: an answer, never a crash of the twin."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from doce.testing.slack import Slack
from doce.testing.slack.call import METHODS
from doce.testing.slack.server import Api
from doce.testing.slack.sight import controls

from .driven import EVERYTHING

pytestmark = pytest.mark.slow

TEXTS = st.one_of(st.sampled_from(["", "x", "C1", "1.000001", "{", "[]", "modal", "plain_text", "mrkdwn", "button"]), st.text(max_size=5))
KEYS = st.sampled_from([
    "type", "text", "blocks", "elements", "element", "accessory", "options", "option_groups", "title", "submit", "tasks", "value",
    "action_id",
    "block_id", "label", "confirm", "fields", "initial_option", "initial_options", "id", "status", "details", "event_type", "event_payload",
    "image_url", "alt_text", "task_id",
])  # fmt: skip
TYPES = st.sampled_from([
    "section", "actions", "context", "input", "header", "image", "markdown", "plan", "task_card", "rich_text", "button", "overflow",
    "checkboxes",
    "static_select", "plain_text_input", "markdown_text", "task_update", "plan_update", "blocks", "modal", "home", "plain_text", "mrkdwn",
    "context_actions", "feedback_buttons", "card",
])  # fmt: skip
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-5, 10**12), st.floats(allow_nan=False), TEXTS)
OBJECTS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(KEYS, inner, max_size=4).flatmap(lambda made: TYPES.map(lambda kind: {**made, "type": kind})),
    ),
    max_leaves=12,
)
NAMES = st.sampled_from([
    "channel", "channel_id", "ts", "thread_ts", "text", "blocks", "attachments", "metadata", "view", "user", "users", "user_id", "chunks",
    "markdown_text", "limit", "cursor", "oldest", "latest", "name", "timestamp", "message_ts", "file", "files", "filename", "length",
    "unfurls",
    "trigger_id", "view_id", "status", "title", "prompts", "types", "code", "client_id", "client_secret", "recipient_team_id",
    "recipient_user_id",
    "email", "hash", "external_id", "session_status", "task_display_mode", "bot",
])  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    method=st.sampled_from(sorted(METHODS)),
    arguments=st.dictionaries(NAMES, OBJECTS, max_size=6),
    real=st.sets(st.sampled_from(["channel", "ts", "user", "trigger"])),
)
def test_every_call_has_an_answer(method: str, arguments: dict[str, Any], real: set[str]) -> None:
    async def scenario() -> None:
        slack = Slack(rate=EVERYTHING)
        said = await slack.say("ada", "#sites", "hello")
        team, api = slack.workspace.id, Api(slack)
        begin = {"channel": said.channel, "thread_ts": said.ts, "recipient_team_id": team, "recipient_user_id": said.user}
        begun, _, _ = await api._call("chat.startStream", begin, slack.tokens[slack.token])
        values = {
            "channel": {"channel": said.channel, "channel_id": said.channel},
            "ts": {"ts": begun["ts"], "thread_ts": said.ts, "timestamp": said.ts, "message_ts": said.ts},
            "user": {"user": said.user, "user_id": said.user, "recipient_user_id": said.user, "recipient_team_id": team},
            "trigger": {"trigger_id": slack.people.trigger(slack.user("ada"))},
        }
        for name in real:
            arguments.update(values[name])
        token = slack.tokens[slack.app.app_token if METHODS[method].level == "app" else slack.token]
        answer, status, _ = await api._call(method, arguments, token)
        assert status in (200, 429)
        assert answer["ok"] is ("error" not in answer)
        assert slack.thread("#sites", said.ts)
        await slack.courier.close()

    asyncio.run(scenario())


PLACES = {
    "chat.postMessage": "blocks", "chat.update": "blocks", "chat.stopStream": "blocks", "chat.appendStream": "chunks", "views.open": "view",
    "views.publish": "view", "chat.unfurl": "unfurls", "files.completeUploadExternal": "files",
}  # fmt: skip
PLAIN = st.sampled_from([{"type": "plain_text", "text": "x"}, {"type": "mrkdwn", "text": "x"}])
OPTION = st.one_of(st.fixed_dictionaries({"text": PLAIN, "value": TEXTS}), OBJECTS)
ELEMENT = st.one_of(
    OBJECTS,
    st.fixed_dictionaries(
        {"type": TYPES},
        optional={"text": st.one_of(PLAIN, OBJECTS), "action_id": SCALARS, "options": st.one_of(st.lists(OPTION, max_size=3), OBJECTS),
                  "option_groups": st.one_of(st.lists(OBJECTS, max_size=2), OBJECTS), "initial_option": OBJECTS, "confirm": OBJECTS,
                  "value": SCALARS},
    ),
)  # fmt: skip
BLOCK = st.one_of(
    OBJECTS,
    st.fixed_dictionaries(
        {"type": TYPES},
        optional={"text": st.one_of(PLAIN, OBJECTS), "elements": st.one_of(st.lists(ELEMENT, max_size=3), OBJECTS), "element": ELEMENT,
                  "accessory": ELEMENT, "label": st.one_of(PLAIN, OBJECTS), "title": st.one_of(TEXTS, OBJECTS),
                  "tasks": st.one_of(st.lists(OBJECTS, max_size=2), OBJECTS),
                  "fields": st.one_of(st.lists(PLAIN, max_size=2), OBJECTS), "block_id": SCALARS, "task_id": TEXTS, "status": SCALARS,
                  "id": TEXTS,
                  "details": SCALARS, "output": SCALARS, "sources": OBJECTS, "blocks": OBJECTS},
    ),
)  # fmt: skip
LISTS = st.lists(BLOCK, min_size=1, max_size=3)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example])
@given(method=st.sampled_from(sorted(PLACES)), given_blocks=LISTS, shell=st.booleans(), other=OBJECTS)
def test_blocks_are_taken_or_refused_and_what_is_taken_can_be_shown(method: str, given_blocks: list[Any], shell: bool, other: Any) -> None:
    async def scenario() -> None:
        slack = Slack(rate=EVERYTHING)
        ada, api, token = slack.user("ada"), Api(slack), slack.tokens[slack.token]
        said = await slack.say("ada", "#sites", "hello")
        to = {"channel": said.channel, "thread_ts": said.ts, "recipient_team_id": ada.team, "recipient_user_id": ada.id}
        begun, _, _ = await api._call("chat.startStream", to, token)
        value: Any = given_blocks
        if PLACES[method] == "view":
            kind = "home" if method == "views.publish" else "modal"
            title = {"type": "plain_text", "text": "x"}
            value = {"type": kind, "blocks": given_blocks} | (
                {"title": title, "submit": title} if shell else {"title": other, "submit": other}
            )
        elif PLACES[method] == "unfurls":
            value = {"hello": {"blocks": given_blocks} if shell else other}
        arguments = {**to, "ts": begun["ts"], "user_id": ada.id, "trigger_id": slack.people.trigger(ada), PLACES[method]: value}
        if method == "chat.update":
            posted, _, _ = await api._call("chat.postMessage", {"channel": said.channel, "text": "x"}, token)
            arguments["ts"] = posted["ts"]
        if method == "chat.unfurl":
            arguments["ts"] = said.ts
        answer, _, _ = await api._call(method, arguments, token)
        assert answer["ok"] is ("error" not in answer)
        assert slack.thread("#sites", said.ts)
        assert slack.messages("#sites")
        for view in (slack.modal(ada), slack.home(ada)):
            if view:
                controls(view.blocks)
        await slack.courier.close()

    asyncio.run(scenario())
