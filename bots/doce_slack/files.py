"""Files to Slack and from it."""

from __future__ import annotations

import logging

import aiohttp

from doce_slack.calls import Lost
from doce_slack.posting import Place

logger = logging.getLogger(__name__)


async def upload_text(place: Place, about: str, name: str, text: str, title: str) -> None:
    """Put a text file into the thread, once. Raises Refused, Lost."""
    await upload(place, about, name, text.encode(), title)


async def upload(place: Place, about: str, name: str, data: bytes, title: str, *, alt: str | None = None) -> None:
    """Put a file into the thread, once: its name carries what it is about, so that it is found again after a crash."""
    message = await place.intend(about)
    if message.state == "closed":
        return
    stem, _, ending = name.rpartition(".")
    filename = f"{stem}-{message.id}.{ending}"
    if not await _is_there(place, filename):
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
    await place.closed(message)


async def _is_there(place: Place, filename: str) -> bool:
    """Only a file that was intended before this doce's life can be there."""
    answer = await place.workspace.attempt("conversations.replies", channel=place.channel, ts=place.root, limit=200)
    return any(file.get("name") == filename for one in (answer or {}).get("messages", []) for file in one.get("files", []))
