"""Files that came with a message, as attachments of a prompt."""

from __future__ import annotations

import base64
import logging
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from doce.actions.projects import Attached
from doce.errors import BadRequest, DoceError
from doce.projects.attachments import MAX_COUNT, MAX_IMAGE, Upload, checked
from doce_slack.calls import Lost
from doce_slack.workspaces import Workspace

logger = logging.getLogger(__name__)

#: Ask Slack for a smaller copy of an image that is larger than what may be attached.
THUMBS = ("thumb_1024", "thumb_960", "thumb_720", "thumb_480", "thumb_360")
#: Answers that another try does not change.
GONE = (400, 401, 403, 404, 410)


@dataclass
class Taken:
    """What came along, and what did not: a sentence each."""

    attached: list[Attached] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    @property
    def instead_of_text(self) -> str:
        """The prompt of a message that is only files."""
        return "Use the attached files." if self.attached else ""


async def fetch(workspace: Workspace, files: list[dict[str, Any]]) -> Taken:
    """The files, as far as they can be attached. Raises Lost when Slack is away."""
    taken = Taken()
    for file in files:
        name = str(file.get("name") or file.get("title") or "file")
        if len(taken.attached) == MAX_COUNT:
            taken.skipped.append(f"{name}: {MAX_COUNT} files are the most.")
            continue
        try:
            taken.attached.append(await _fetched(workspace, name, file))
        except Lost:
            raise
        except DoceError as error:
            taken.skipped.append(f"{name}: {error}")
    return taken


async def _fetched(workspace: Workspace, name: str, file: dict[str, Any]) -> Attached:
    url, mime = file.get("url_private_download") or file.get("url_private"), str(file.get("mimetype") or "")
    if mime.startswith("image/") and int(file.get("size") or 0) > MAX_IMAGE:
        url = next((file[thumb] for thumb in THUMBS if file.get(thumb)), url)
    if not url or file.get("mode") == "tombstone":
        raise BadRequest("Slack does not give it out.")
    data, kind = await _download(workspace, str(url))
    if kind.startswith("text/html") and not mime.startswith("text/html"):
        raise BadRequest(
            "Slack does not let me read it.", hint="doce's app needs the scope files:read; `doce slack check` says what to do."
        )
    upload = checked([Upload(name, kind if kind.startswith("image/") else mime or kind, data)])[0]
    return Attached(name=upload.name, mime=upload.mime, data=base64.b64encode(upload.data).decode())


async def _download(workspace: Workspace, url: str) -> tuple[bytes, str]:
    headers = {"Authorization": f"Bearer {workspace.client.token}"}
    try:
        async with workspace.session.get(url, headers=headers) as answer:
            if answer.status in GONE:
                raise BadRequest(f"Slack does not give it out (status {answer.status}).")
            if answer.status >= 400:
                raise Lost(f"Slack did not give out a file (status {answer.status}).")
            data = await answer.content.read(MAX_IMAGE + 1)
            while len(data) <= MAX_IMAGE and (piece := await answer.content.read(MAX_IMAGE + 1 - len(data))):
                data += piece
            return data, answer.content_type
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Lost(f"Slack did not give out a file ({type(error).__name__}).") from None
