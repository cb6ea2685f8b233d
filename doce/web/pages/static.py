"""The stylesheet and the scripts of the pages: read once, their content named in their address, kept by browsers for good.

One stamp stands for the whole folder, so modules import each other by relative paths and always meet their own version.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from doce.errors import NotFound

FOLDER = Path(__file__).parent / "static"
FOREVER = "public, max-age=31536000, immutable"
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass(frozen=True)
class File:
    """A file as it is sent."""

    media_type: str
    data: bytes
    small: bytes
    etag: str


class StaticFiles:
    """The files of `folder`."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = {path.name: _read(path) for path in sorted(folder.iterdir()) if path.is_file()}
        #: names the content of all of them
        self.stamp = hashlib.sha256("".join(name + file.etag for name, file in self._files.items()).encode()).hexdigest()[:12]

    def url(self, name: str) -> str:
        """Address of a file. Raises KeyError for one that is not there."""
        return f"/static/{self.stamp}/{name}" if self._files[name] else ""

    async def serve(self, request: Request) -> Response:
        """GET /static/{stamp}/{name}"""
        file = self._files.get(request.path_params["name"])
        if file is None:
            raise NotFound("There is no such file.")
        # A page that was loaded before an update asks with its old stamp: it gets what there is, and is told not to keep it.
        keep = FOREVER if request.path_params["stamp"] == self.stamp else "no-cache"
        headers = {"etag": file.etag, "cache-control": keep, "vary": "accept-encoding"}
        if file.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", "") and len(file.small) < len(file.data):
            return Response(file.small, headers={**headers, "content-encoding": "gzip"}, media_type=file.media_type)
        return Response(file.data, headers=headers, media_type=file.media_type)


def _read(path: Path) -> File:
    data = path.read_bytes()
    kind = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return File(kind, data, gzip.compress(data, mtime=0), f'"{hashlib.sha256(data).hexdigest()[:16]}"')
