"""A project as a zip file, made while it is sent."""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

from doce.projects import contents
from doce.projects.contents import Item
from doce.projects.files import PIECE
from doce.projects.templates import Template

#: Packed already; packing them again only takes time.
_PACKED = frozenset(
    "png jpg jpeg gif webp avif mp4 webm mp3 ogg zip gz br zst woff woff2 pdf".split(),
)
#: The first year a zip file knows.
_EPOCH = (1980, 1, 1, 0, 0, 0)


class _Sink:
    """Takes what the zip writer writes; cannot be sought, so the writer never goes back."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.size = 0

    def write(self, data: bytes, /) -> int:
        self._pieces.append(bytes(data))
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is to be closed."""

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        self.size = 0
        return taken


def zipped(workspace: Path, template: Template) -> Iterator[bytes]:
    """The project's files as a zip file, piece by piece. Raises PayloadTooLarge, Conflict while it has none, before the first."""
    contents.check_size(workspace, template)
    return _zip(workspace, template)


def _zip(workspace: Path, template: Template) -> Iterator[bytes]:
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for item in contents.items(workspace, template):
            descriptor = item.open()
            if descriptor is None:
                continue
            with os.fdopen(descriptor, "rb", buffering=0) as file:
                info = _info(item)
                # No more than there was when it was listed: a file that grows for ever is not followed.
                left = info.file_size
                with archive.open(info, "w") as entry:
                    while left and (piece := file.read(min(PIECE, left))):
                        left -= len(piece)
                        entry.write(piece)
                        if sink.size >= PIECE:
                            yield sink.take()
    yield sink.take()


def _info(item: Item) -> zipfile.ZipInfo:
    name = item.path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    info = zipfile.ZipInfo(name, max(time.gmtime(item.state.st_mtime)[:6], _EPOCH))
    info.compress_type = zipfile.ZIP_STORED if name.rpartition(".")[2].lower() in _PACKED else zipfile.ZIP_DEFLATED
    info.external_attr = (0o100755 if item.state.st_mode & 0o100 else 0o100644) << 16
    info.file_size = item.state.st_size
    return info
