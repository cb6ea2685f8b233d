"""The app's own reactions to messages."""

from __future__ import annotations

import re

from doce.testing.slack import shapes
from doce.testing.slack.call import Call, Raw, method
from doce.testing.slack.refusal import Refused
from doce.testing.slack.things import Message


def _target(call: Call) -> tuple[Message, str]:
    channel = call.channel(member=False)
    if not call.text("timestamp"):
        raise Refused("no_item_specified")
    message = call.message(channel, "timestamp")
    name = call.required("name", "invalid_name").strip(":")
    if not re.fullmatch(r"[a-z0-9_+'-]+(::skin-tone-[2-6])?", name):
        raise Refused("invalid_name")
    return message, name


@method("reactions.add", scopes="reactions:write", tier=3)
def add(call: Call) -> Raw:
    message, name = _target(call)
    if call.workspace.bot_user in message.reactions.get(name, []):
        raise Refused("already_reacted")
    if len(message.reactions) >= 23 and name not in message.reactions:
        raise Refused("too_many_emoji")
    call.slack.reacted(message, call.workspace.bot_user, name)
    return {}


@method("reactions.remove", scopes="reactions:write", tier=2)
def remove(call: Call) -> Raw:
    message, name = _target(call)
    if call.workspace.bot_user not in message.reactions.get(name, []):
        raise Refused("no_reaction")
    call.slack.reacted(message, call.workspace.bot_user, name, added=False)
    return {}


@method("reactions.get", scopes="reactions:read", tier=3, json=False)
def get(call: Call) -> Raw:
    channel = call.channel(member=False)
    return {"type": "message", "channel": channel.id, "message": shapes.message(call.slack, call.message(channel, "timestamp"))}
