"""Uploads, in three steps, and what is known of a file."""

from __future__ import annotations

import mimetypes

from doce.testing.slack import shapes
from doce.testing.slack.call import Call, Raw, method
from doce.testing.slack.refusal import Refused
from doce.testing.slack.things import Channel, File, Message

MOST_BYTES = 1024**3


@method("files.getUploadURLExternal", scopes="files:write", tier=4, json=False)
def upload_url(call: Call) -> Raw:
    name = call.required("filename")
    try:
        length = int(call.required("length"))
    except ValueError:
        raise Refused("invalid_arguments", messages=["length must be a number"]) from None
    if length <= 0 or length > MOST_BYTES:
        raise Refused("file_upload_size_restricted" if length > 0 else "invalid_arguments")
    world = call.slack.world
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    made = File(
        world.new_id("F"), call.token.team, name, length, call.workspace.bot_user, alt_text=call.text("alt_txt"), mimetype=kind,
        created=int(world.clock.now()),
    )  # fmt: skip
    world.files[made.id] = made
    return {"upload_url": f"{call.slack.url}/upload/v1/{made.id}", "file_id": made.id}


@method("files.completeUploadExternal", scopes="files:write", tier=4)
def complete(call: Call) -> Raw:
    given = call.structure("files")
    if not isinstance(given, list) or not given or not all(isinstance(each, dict) for each in given):
        raise Refused("invalid_arguments")
    found = [_uploaded(call, each) for each in given]
    ids = [each for each in [call.text("channel_id"), *call.text("channels").split(",")] if each]
    channels = [_channel(call, each) for each in ids]
    root = call.text("thread_ts")
    for channel in channels:
        if root and root not in call.slack.world.posted[channel.id]:
            raise Refused("thread_not_found")
    for entry, file in zip(given, found, strict=True):
        file.shared, file.title = True, entry.get("title") or file.name
        file.channels = [channel.id for channel in channels]
    # The answer does not know of the message: Slack gives it before that is posted.
    answer = {"files": [shapes.file(call.slack, each) for each in found]}
    for channel in channels:
        _share(call, channel, found, root)
    return answer


@method("files.info", scopes="files:read", tier=4, json=False)
def info(call: Call) -> Raw:
    return {
        "file": shapes.file(call.slack, _file(call, call.text("file"))),
        "comments": [],
        "paging": {"count": 0, "total": 0, "page": 1, "pages": 0},
        "response_metadata": {"next_cursor": ""},
    }


@method("files.delete", scopes="files:write", tier=3)
def delete(call: Call) -> Raw:
    file = _file(call, call.text("file"))
    if file.user != call.workspace.bot_user:
        raise Refused("cant_delete_file")
    file.deleted = True
    call.slack.world.changed()
    return {}


def _file(call: Call, id_: str) -> File:
    found = call.slack.world.files.get(id_)
    if found is None or found.team != call.token.team:
        raise Refused("file_not_found")
    if found.deleted:
        raise Refused("file_deleted")
    return found


def _uploaded(call: Call, entry: Raw) -> File:
    file = _file(call, str(entry.get("id", "")))
    if file.content is None or file.shared:
        raise Refused("file_not_found")
    return file


def _channel(call: Call, id_: str) -> Channel:
    found = call.slack.world.channels.get(id_)
    if found is None or found.team != call.token.team or (found.kind != "channel" and call.workspace.bot_user not in found.members):
        raise Refused("channel_not_found")
    if call.workspace.bot_user not in found.members:
        raise Refused("not_in_channel")
    return found


def _share(call: Call, channel: Channel, files: list[File], root: str) -> None:
    where, world = call.workspace, call.slack.world
    message = Message(
        world.new_ts(), channel.id, where.id, where.bot_user, call.text("initial_comment"), thread_ts=root,
        files=[file.id for file in files],
        subtype="file_share", bot_id=where.bot_id, app_id=call.slack.app.id,
    )  # fmt: skip
    world.add(message)
    for file in files:
        file.posts.append((channel.id, message.ts))
    call.slack.events.message(message)
