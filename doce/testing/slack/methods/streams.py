"""Messages that are written while people watch: chat.startStream, appendStream, stopStream."""

from __future__ import annotations

import copy
from typing import Any

from doce.testing.slack import blocks, layout, limits, shapes
from doce.testing.slack.call import Call, Raw, method
from doce.testing.slack.refusal import Refused
from doce.testing.slack.things import Channel, Message, Session, Stream

TASK_FIELDS = ("title", "details", "output")


@method("chat.startStream", scopes="chat:write", tier=2)
def start(call: Call) -> Raw:
    _switched_on(call)
    channel = call.channel()
    root = call.text("thread_ts")
    if not root:
        raise Refused("invalid_thread_ts")
    if root not in call.slack.world.posted[channel.id]:
        raise Refused("thread_not_found")
    recipient = _recipient(call, channel)
    mode = call.text("task_display_mode", "timeline")
    if mode not in ("timeline", "plan", "dense"):
        raise Refused("invalid_arguments", messages=["task_display_mode must be timeline, plan or dense"])
    chunks = _chunks(call)
    where, world = call.workspace, call.slack.world
    message = Message(
        ts=world.new_ts(), channel=channel.id, team=where.id, user=where.bot_user, thread_ts=root, bot_id=where.bot_id,
        app_id=call.slack.app.id,
        username=call.text("username"), icon=call.text("icon_emoji") or call.text("icon_url"),
        stream=Stream(world.clock.now(), mode=mode, recipient=recipient),
    )  # fmt: skip
    _take(call, message, chunks)
    world.add(message)
    session = world.sessions.setdefault((channel.id, root), Session(channel.id, root, initiator=recipient))
    session.status, session.since, session.loading = "processing", world.clock.now(), ""
    world.changed()
    call.slack.events.message(message)
    return {"channel": channel.id, "ts": message.ts}


@method("chat.appendStream", scopes="chat:write", tier=4)
def append(call: Call) -> Raw:
    _switched_on(call)
    channel, message = _streaming(call)
    chunks = _chunks(call)
    if not chunks:
        raise Refused("no_text")
    _take(call, message, chunks)
    call.slack.world.changed()
    return {"channel": channel.id, "ts": message.ts}


@method("chat.stopStream", scopes="chat:write", tier=2)
def stop(call: Call) -> Raw:
    _switched_on(call)
    channel, message = _streaming(call)
    assert message.stream
    chunks, ending = _chunks(call), call.structure("blocks", "invalid_blocks_format") or []
    status = call.text("session_status", "active")
    if status not in ("active", "suspended", "closed"):
        raise Refused("invalid_arguments", messages=["session_status must be active, suspended or closed"])
    blocks.check_message(ending)
    before = copy.deepcopy(message)
    _take(call, message, chunks)
    message.stream.ending = layout.named(ending, call.slack.world.new_id)
    message.stream.state = "complete"
    if metadata := call.structure("metadata", "invalid_metadata_format"):
        message.metadata = metadata
    if session := call.slack.world.sessions.get((channel.id, message.thread_ts)):
        session.status, session.since, session.loading = status, call.slack.clock.now(), ""
    call.slack.world.changed()
    call.slack.events.changed(message, before)
    return {"channel": channel.id, "ts": message.ts, "message": shapes.message(call.slack, message)}


def _switched_on(call: Call) -> None:
    if not call.slack.streams:
        raise Refused("unknown_method", req_method=call.method)


def _recipient(call: Call, channel: Channel) -> str:
    """Who it is written for. A channel has to be told; in a direct conversation there is no choice."""
    if channel.kind == "im":
        return call.text("recipient_user_id") or channel.user
    if not call.text("recipient_team_id"):
        raise Refused("missing_recipient_team_id")
    if not call.text("recipient_user_id"):
        raise Refused("missing_recipient_user_id")
    if call.text("recipient_team_id") not in call.slack.world.workspaces:
        raise Refused("team_not_found")
    if call.text("recipient_user_id") not in call.slack.world.users:
        raise Refused("user_not_found")
    return call.text("recipient_user_id")


def _streaming(call: Call) -> tuple[Channel, Message]:
    channel = call.channel()
    message = call.message(channel)
    if message.user != call.workspace.bot_user:
        raise Refused("message_not_owned_by_app")
    if message.stream and message.stream.state == "stopped":
        raise Refused("stopped_by_user")
    if not message.stream or message.stream.state != "streaming":
        raise Refused("message_not_in_streaming_state")
    return channel, message


def _chunks(call: Call) -> list[Raw]:
    """What is to be added. Raises Refused with `invalid_chunks` or `msg_too_long`."""
    text, given = call.text("markdown_text"), call.structure("chunks", "invalid_chunks")
    if text and given:
        raise Refused("cannot_provide_both_markdown_text_and_chunks")
    if given is None:
        given = [{"type": "markdown_text", "text": text}] if text else []
    if not isinstance(given, list):
        raise Refused("invalid_chunks")
    for number, chunk in enumerate(given):
        _check(chunk, number)
    return given


def _check(chunk: Any, number: int) -> None:
    match chunk:
        case {"type": "markdown_text", "text": str(text)} if text:
            if len(text) > limits.MARKDOWN:
                raise Refused("msg_too_long")
        case {"type": "task_update", "id": str(), "title": str(title), "status": status} if title:
            if status not in blocks.TASK_STATES:
                raise Refused("invalid_chunks", messages=[f"unknown status: {status} [json-pointer:/chunks/{number}/status]"])
            for name in TASK_FIELDS:
                if not isinstance(chunk.get(name) or "", str) or len(chunk.get(name) or "") > limits.CHUNK_FIELD:
                    raise Refused("invalid_chunks", messages=[f"must be less than 257 characters [json-pointer:/chunks/{number}/{name}]"])
        case {"type": "plan_update", "title": str(title)} if title:
            if len(title) > limits.CHUNK_FIELD:
                raise Refused("invalid_chunks", messages=[f"must be less than 257 characters [json-pointer:/chunks/{number}/title]"])
        case {"type": "blocks", "blocks": list(inside)}:
            blocks.check_message(inside)
        case _:
            raise Refused("invalid_chunks", messages=[f"not a chunk [json-pointer:/chunks/{number}]"])


def _take(call: Call, message: Message, chunks: list[Raw]) -> None:
    """Put chunks where they belong: text at the end, a task where it first appeared."""
    stream = message.stream
    assert stream
    for chunk in chunks:
        match chunk["type"]:
            case "markdown_text" if stream.parts and isinstance(stream.parts[-1], str):
                stream.parts[-1] += chunk["text"]
            case "markdown_text":
                stream.parts.append(chunk["text"])
            case "plan_update":
                stream.plan = chunk["title"]
            case "blocks":
                stream.parts.append({"type": "blocks", "blocks": layout.named(chunk["blocks"], call.slack.world.new_id)})
            case _:
                _task(stream, chunk)


def _task(stream: Stream, chunk: Raw) -> None:
    """Title, status and output replace what the task said; details are added to it."""
    task = next((each for each in stream.tasks if each["id"] == chunk["id"]), None)
    if task is None:
        stream.parts.append(dict(chunk))
        return
    more = chunk.get("details") or ""
    task |= {name: value for name, value in chunk.items() if value is not None and name != "details"}
    if more:
        task["details"] = task.get("details", "") + more
