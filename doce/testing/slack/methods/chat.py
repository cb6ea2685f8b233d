"""Messages that the app posts, changes and deletes."""

from __future__ import annotations

import copy
from typing import Any

from doce.testing.slack import blocks, layout, limits, shapes
from doce.testing.slack.call import Call, Raw, method
from doce.testing.slack.markup import escape, unescape
from doce.testing.slack.refusal import Refused
from doce.testing.slack.things import Channel, Message


@method("chat.postMessage", scopes="chat:write")
def post(call: Call) -> Raw:
    channel = _postable(call)
    message = _message(call, channel)
    _wait(call, channel)
    root = call.text("thread_ts")
    if root:
        _root(call, channel, root)
        message.thread_ts = root
        message.broadcast = call.flag("reply_broadcast")
        if message.broadcast:
            message.subtype = "thread_broadcast"
    call.slack.world.add(message)
    if session := call.slack.world.sessions.get((channel.id, message.root)):
        session.loading = ""
    call.slack.events.message(message)
    return {"channel": channel.id, "ts": message.ts, "message": shapes.message(call.slack, message)}


@method("chat.postEphemeral", scopes="chat:write", tier=4)
def post_ephemeral(call: Call) -> Raw:
    channel = _postable(call)
    who = call.slack.world.users.get(call.text("user"))
    if who is None or who.id not in channel.members:
        raise Refused("user_not_in_channel")
    message = _message(call, channel)
    message.only_for, message.thread_ts = who.id, call.text("thread_ts")
    call.slack.world.add(message)
    return {"message_ts": message.ts}


@method("chat.update", scopes="chat:write", tier=3)
def update(call: Call) -> Raw:
    channel = call.channel(member=False)
    message = call.message(channel)
    if message.user != call.workspace.bot_user:
        raise Refused("cant_update_message")
    if message.stream and message.stream.state == "streaming":
        raise Refused("streaming_state_conflict")
    text, laid_out, attached = call.text("text"), _blocks(call), _attachments(call)
    metadata = _metadata(call)
    if len(escape(unescape(text)).encode()) > limits.UPDATE_TEXT_BYTES:
        raise Refused("msg_too_long")
    if call.text("markdown_text"):
        text, laid_out = "", [{"type": "markdown", "text": _markdown(call)}]
    if not text and laid_out is None and attached is None and metadata is None:
        raise Refused("no_text")
    before = copy.deepcopy(message)
    if "text" in call.arguments or "markdown_text" in call.arguments:
        message.text = text
    # What is not given stays: only `blocks`, if empty, takes away what is laid out.
    if laid_out is not None:
        message.blocks = layout.named(laid_out, call.slack.world.new_id)
    elif message.stream:
        message.blocks = message.stream.blocks()
    if attached is not None:
        message.attachments = attached
    if metadata is not None:
        message.metadata = metadata
    message.stream = None
    if not laid_out:
        message.edited = call.slack.world.new_ts()
    call.slack.world.changed()
    call.slack.events.changed(message, before)
    return {"channel": channel.id, "ts": message.ts, "text": message.text, "message": shapes.message(call.slack, message)}


@method("chat.delete", scopes="chat:write", tier=3)
def delete(call: Call) -> Raw:
    channel = call.channel(member=False)
    message = call.message(channel)
    if message.user != call.workspace.bot_user or (message.stream and message.stream.state == "streaming"):
        raise Refused("cant_delete_message")
    call.slack.removed(message)
    return {"channel": channel.id, "ts": message.ts}


@method("chat.getPermalink", json=False)
def permalink(call: Call) -> Raw:
    channel = call.channel(member=False)
    message = call.message(channel, "message_ts")
    return {"channel": channel.id, "permalink": call.slack.permalink(message)}


@method("chat.unfurl", scopes="links:write", tier=3)
def unfurl(call: Call) -> Raw:
    unfurls = call.structure("unfurls")
    if not isinstance(unfurls, dict) or not unfurls:
        raise Refused("cannot_parse_attachment")
    channel = call.channel(member=False)
    message = call.message(channel)
    for url, attachment in unfurls.items():
        if not isinstance(attachment, dict):
            raise Refused("cannot_parse_attachment")
        if unescape(url) not in unescape(message.text):
            raise Refused("cannot_unfurl_url")
        if "blocks" in attachment:
            blocks.check_message(attachment["blocks"])
            attachment["blocks"] = layout.named(attachment["blocks"], call.slack.world.new_id)
    before = copy.deepcopy(message)
    message.unfurls |= unfurls
    call.slack.world.changed()
    call.slack.events.changed(message, before)
    return {}


# Pieces


def _postable(call: Call) -> Channel:
    """Where to post: `channel` may be a person, for whom it is the direct conversation."""
    given = call.text("channel")
    who = call.slack.world.users.get(given)
    if who is not None and who.team == call.token.team:
        return call.slack.world.direct(who)
    channel = call.channel(member=False)
    public = channel.kind == "channel" and "chat:write.public" in call.token.scopes and call.method == "chat.postMessage"
    if call.workspace.bot_user not in channel.members and not public:
        raise Refused("not_in_channel")
    if channel.archived:
        raise Refused("is_archived")
    return channel


def _wait(call: Call, channel: Channel) -> None:
    if wait := call.slack.limits.post(call.method, channel.id):
        raise Refused("ratelimited", retry_after=wait)


def _root(call: Call, channel: Channel, ts: str) -> None:
    """Raises Refused with `thread_not_found` when there is nothing to answer to."""
    root = call.slack.world.posted[channel.id].get(ts)
    if root is None or (root.thread_ts and root.thread_ts != root.ts and not root.broadcast):
        raise Refused("thread_not_found")


def _message(call: Call, channel: Channel) -> Message:
    """What the arguments say, not yet posted."""
    text, laid_out = call.text("text")[: limits.TEXT], _blocks(call)
    attachments = _attachments(call) or []
    if "markdown_text" in call.arguments:
        if text or laid_out:
            raise Refused("markdown_text_conflict")
        laid_out = [{"type": "markdown", "text": _markdown(call)}]
    if not text.strip() and not laid_out and not attachments:
        raise Refused("no_text")
    if len(attachments) > 100:
        raise Refused("too_many_attachments")
    where = call.workspace
    return Message(
        ts=call.slack.world.new_ts(), channel=channel.id, team=where.id, user=where.bot_user, text=text, attachments=attachments,
        blocks=layout.named(laid_out or [], call.slack.world.new_id), metadata=_metadata(call), bot_id=where.bot_id,
        app_id=call.slack.app.id,
        username=call.text("username"), icon=call.text("icon_emoji") or call.text("icon_url"),
    )  # fmt: skip


def _markdown(call: Call) -> str:
    text = call.text("markdown_text")
    if len(text) > limits.MARKDOWN:
        raise Refused("msg_too_long")
    return text


def _blocks(call: Call) -> list[Raw] | None:
    found = call.structure("blocks", "invalid_blocks_format")
    if found is None:
        return None
    if not isinstance(found, list):
        raise Refused("invalid_blocks_format")
    blocks.check_message(found)
    return found


def _attachments(call: Call) -> list[Raw] | None:
    found = call.structure("attachments", "invalid_attachments")
    if found is None:
        return None
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise Refused("invalid_attachments")
    for each in found:
        if "blocks" in each:
            blocks.check_message(each["blocks"])
            each["blocks"] = layout.named(each["blocks"], call.slack.world.new_id)
    return found


def _metadata(call: Call) -> Raw | None:
    found: Any = call.structure("metadata", "invalid_metadata_format")
    if not found:
        return None
    if not isinstance(found, dict) or not isinstance(found.get("event_type"), str) or not isinstance(found.get("event_payload"), dict):
        raise Refused("invalid_metadata_format")
    return found
