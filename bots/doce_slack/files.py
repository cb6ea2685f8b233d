"""Files to Slack and from it."""

from __future__ import annotations

import logging

import aiohttp

from doce.chats.messages import Message
from doce.testing import faults
from doce_slack.calls import Lost
from doce_slack.posting import Place

logger = logging.getLogger(__name__)


async def upload_text(place: Place, about: str, name: str, text: str, title: str) -> None:
    """Put a text file into the thread, once. Raises Refused, Lost."""
    await upload(place, about, name, text.encode(), title)


async def upload(place: Place, about: str, name: str, data: bytes, title: str, *, alt: str | None = None) -> None:
    """Put a file into the thread, once: its name carries what it is about, so that it is found again after a crash."""
    if await arrived(place, about, name):
        return
    message = await place.intend(about)
    filename = _named(name, message)
    faults.point("slack.uploading")
    workspace = place.workspace
    made = await workspace.call("files.getUploadURLExternal", filename=filename, length=len(data), alt_txt=alt)
    try:
        async with workspace.session.post(made["upload_url"], data=data) as answer:
            if answer.status >= 400:
                raise Lost(f"Slack did not take the file {filename} (status {answer.status}).")
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Lost(f"Slack did not take the file {filename} ({type(error).__name__}).") from None
    await workspace.call(
        "files.completeUploadExternal", files=[{"id": made["file_id"], "title": title}], channel_id=place.channel, thread_ts=place.root
    )
    faults.point("slack.uploaded")
    await place.closed(message)


async def arrived(place: Place, about: str, name: str) -> bool:
    """Whether a file that was to be put into the thread is there. Only one that was written down can be."""
    message = place.last(about)
    if message is None:
        return False
    if message.state != "closed" and await _is_there(place, _named(name, message)):
        message = await place.closed(message)
    return message.state == "closed"


def _named(name: str, message: Message) -> str:
    stem, _, ending = name.rpartition(".")
    return f"{stem}-{message.id}.{ending}"


async def _is_there(place: Place, filename: str) -> bool:
    answer = await place.workspace.attempt("conversations.replies", channel=place.channel, ts=place.root, limit=200)
    return any(file.get("name") == filename for one in (answer or {}).get("messages", []) for file in one.get("files", []))
