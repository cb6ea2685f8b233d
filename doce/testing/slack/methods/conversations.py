"""Channels and what was said in them."""

from __future__ import annotations

from doce.testing.slack import shapes
from doce.testing.slack.call import Call, Raw, method
from doce.testing.slack.methods.pages import kinds, page
from doce.testing.slack.refusal import Refused
from doce.testing.slack.things import Channel, Message

READ = {"channel": "channels:read", "group": "groups:read", "im": "im:read", "mpim": "mpim:read"}
HISTORY = {"channel": "channels:history", "group": "groups:history", "im": "im:history", "mpim": "mpim:history"}


def _may(call: Call, channel: Channel, scopes: dict[str, str]) -> None:
    """The scope that this kind of channel needs. Raises Refused."""
    needed = scopes[channel.kind]
    if needed not in call.token.scopes:
        raise Refused("missing_scope", needed=needed, provided=",".join(call.token.scopes))


@method("conversations.info", scopes="channels:read groups:read im:read mpim:read", tier=3, json=False)
def info(call: Call) -> Raw:
    channel = call.channel(member=False)
    _may(call, channel, READ)
    return {"channel": shapes.channel(call.slack, channel)}


@method("conversations.list", scopes="channels:read groups:read im:read mpim:read", tier=2, json=False)
def list_(call: Call) -> Raw:
    bot = call.workspace.bot_user
    found = [
        channel
        for channel in call.slack.world.channels.values()
        if channel.team == call.token.team and channel.kind in kinds(call) and (channel.kind == "channel" or bot in channel.members)
        if not (call.flag("exclude_archived") and channel.archived)
    ]
    shown, cursor = page(call, found)
    return {"channels": [shapes.channel(call.slack, each) for each in shown], "response_metadata": {"next_cursor": cursor}}


@method("conversations.members", scopes="channels:read groups:read im:read mpim:read", tier=4, json=False)
def members(call: Call) -> Raw:
    channel = call.channel(member=False)
    _may(call, channel, READ)
    shown, cursor = page(call, channel.members)
    return {"members": shown, "response_metadata": {"next_cursor": cursor}}


@method("conversations.join", scopes="channels:join", tier=3)
def join(call: Call) -> Raw:
    channel = call.channel(member=False)
    if channel.kind != "channel":
        raise Refused("method_not_supported_for_channel_type")
    already = call.workspace.bot_user in channel.members
    if not already:
        call.slack.joined(channel, call.workspace.bot_user)
    return {"channel": shapes.channel(call.slack, channel)} | ({"warning": "already_in_channel"} if already else {})


@method("conversations.open", scopes="im:write mpim:write", tier=3)
def open_(call: Call) -> Raw:
    if call.text("channel"):
        return {"channel": {"id": call.channel().id}}
    who = [each for each in call.text("users").split(",") if each]
    if not who:
        raise Refused("users_list_not_supplied")
    users = [call.slack.world.users.get(each) for each in who]
    if any(user is None or user.team != call.token.team for user in users):
        raise Refused("user_not_found")
    if len(users) > 1:
        channel = call.slack.world.add_channel(call.workspace, f"mpdm-{'--'.join(who)}", [*who, call.workspace.bot_user], kind="mpim")
        return {"channel": {"id": channel.id}}
    assert users[0]
    channel = call.slack.world.direct(users[0])
    return {"channel": shapes.channel(call.slack, channel) if call.flag("return_im") else {"id": channel.id}}


@method("conversations.history", scopes="channels:history groups:history im:history mpim:history", tier=3, json=False)
def history(call: Call) -> Raw:
    channel = call.channel()
    _may(call, channel, HISTORY)
    found = [each for each in call.slack.world.messages(channel) if each.thread_ts in ("", each.ts) or each.broadcast]
    found = _between(call, found)
    shown, cursor = page(call, found[::-1])
    return {
        "messages": [_shape(call, each) for each in shown], "has_more": bool(cursor), "pin_count": 0,
        "response_metadata": {"next_cursor": cursor},
    }  # fmt: skip


@method("conversations.replies", scopes="channels:history groups:history im:history mpim:history", tier=3, json=False)
def replies(call: Call) -> Raw:
    channel = call.channel()
    _may(call, channel, HISTORY)
    ts = call.required("ts")
    root = call.slack.world.posted[channel.id].get(ts)
    if root is None:
        raise Refused("thread_not_found")
    root = call.slack.world.posted[channel.id].get(root.root, root)
    found = _between(call, call.slack.world.replies(channel.id, root.ts))
    shown, cursor = page(call, [root, *found], 1000)
    return {"messages": [_shape(call, each) for each in shown], "has_more": bool(cursor), "response_metadata": {"next_cursor": cursor}}


def _between(call: Call, messages: list[Message]) -> list[Message]:
    """Those that `oldest`, `latest` and `inclusive` ask for."""
    oldest, latest, inclusive = call.text("oldest", "0"), call.text("latest"), call.flag("inclusive")
    try:
        low, high = float(oldest or 0), float(latest or "inf")
    except ValueError:
        raise Refused("invalid_ts_oldest") from None
    return [each for each in messages if low < float(each.ts) < high or (inclusive and float(each.ts) in (low, high))]


def _shape(call: Call, message: Message) -> Raw:
    return shapes.message(call.slack, message, metadata=call.flag("include_all_metadata"))


@method("conversations.leave", scopes="channels:manage channels:join", tier=3)
def leave(call: Call) -> Raw:
    channel = call.channel(member=False)
    if call.workspace.bot_user not in channel.members:
        return {"not_in_channel": True}
    call.slack.left(channel, call.workspace.bot_user)
    return {}
