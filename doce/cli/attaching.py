"""Files of this machine as attachments to a prompt."""

from __future__ import annotations

import base64
import mimetypes
from pathlib import Path

import click


def attached(path: str) -> dict[str, str]:
    """The file as the API takes it. Its limits are doce's to check."""
    file = Path(path)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise click.FileError(path, error.strerror) from error
    mime = mimetypes.guess_type(file.name)[0] or "text/plain"
    return {"name": file.name, "mime": mime, "data": base64.b64encode(data).decode("ascii")}
