"""Files that come with a prompt: kept as files under the project, never inside a job."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from doce.clock import Clock
from doce.db.ids import new_id
from doce.db.models import Attachment
from doce.errors import BadRequest, NotFound, PayloadTooLarge
from doce.projects.layout import Layout

MAX_COUNT = 5
MAX_IMAGE = 1024 * 1024
MAX_TEXT = 512 * 1024
IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})

#: How an image of each kind begins: what a file says it is must be what it is.
_MAGIC = {"image/png": (b"\x89PNG",), "image/jpeg": (b"\xff\xd8\xff",), "image/gif": (b"GIF8",), "image/webp": (b"RIFF",)}


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it arrived: its name, its media type, its bytes."""

    name: str
    mime: str
    data: bytes


@dataclass(frozen=True, slots=True)
class AttachedFile:
    """A file as the agent gets it: a data URL."""

    name: str
    mime: str
    url: str


def checked(uploads: Sequence[Upload]) -> list[Upload]:
    """`uploads` as they may be kept. Raises BadRequest or PayloadTooLarge naming the file."""
    if len(uploads) > MAX_COUNT:
        raise BadRequest(f"{len(uploads)} files are attached; {MAX_COUNT} is the most.", hint="Send the others with the next prompt.")
    return [_checked(upload) for upload in uploads]


def _checked(upload: Upload) -> Upload:
    name = PurePosixPath(upload.name.replace("\\", "/")).name.strip()[:120] or "attachment"
    mime = upload.mime.partition(";")[0].strip().lower()
    if mime in IMAGES:
        if len(upload.data) > MAX_IMAGE:
            raise PayloadTooLarge(f"{name} is larger than 1 MiB.", hint="Attach a smaller image.")
        if not upload.data.startswith(_MAGIC[mime]):
            raise BadRequest(f"{name} is not a {mime.removeprefix('image/').upper()} image.", hint="Attach the real image.")
        return Upload(name, mime, upload.data)
    try:
        text = upload.data.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise BadRequest(f"{name} cannot be attached.", hint="Images (PNG, JPEG, GIF, WebP) and text can.")
    if len(upload.data) > MAX_TEXT:
        raise PayloadTooLarge(f"{name} is larger than 512 KiB.", hint="Attach the part that matters.")
    return Upload(name, "text/plain", upload.data)


def keep(layout: Layout, project_id: str, uploads: Sequence[Upload], clock: Clock) -> list[str]:
    """Write checked `uploads` beside the workspace and note them; returns their ids. Joins the caller's transaction."""
    ids = []
    for upload in uploads:
        row_id = new_id("att")
        layout.attachments.mkdir(parents=True, exist_ok=True)
        (layout.attachments / row_id).write_bytes(upload.data)
        Attachment.create(
            id=row_id, project_id=project_id, name=upload.name, mime=upload.mime, size=len(upload.data), created_at=clock.now_ms()
        )
        ids.append(row_id)
    return ids


def find(layout: Layout, project_id: str, attachment_id: str) -> tuple[Upload, int]:
    """(the attachment, its bytes' count). Raises NotFound."""
    row = Attachment.get_or_none(Attachment.id == attachment_id, Attachment.project_id == project_id)
    path = layout.attachments / row.id if row else None
    if row is None or path is None or not path.is_file():
        raise NotFound("There is no such attachment.", hint="The prompts of the project name theirs.")
    return Upload(row.name, row.mime, path.read_bytes()), row.size


def of_prompt(layout: Layout, prompt_id: str) -> list[AttachedFile]:
    """What was attached to a prompt, for the agent."""
    rows = Attachment.select().where(Attachment.prompt_id == prompt_id).order_by(Attachment.id)
    return [AttachedFile(row.name, row.mime, _data_url(row.mime, (layout.attachments / row.id).read_bytes())) for row in rows]


def _data_url(mime: str, data: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"
