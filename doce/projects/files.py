"""A project's files as people look at them: one folder at a time, and contents."""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from doce.errors import NotFound, PayloadTooLarge
from doce.projects import inside
from doce.projects.history import LEFT_OUT_FOLDERS
from doce.projects.views import Page, View

#: Largest content that is shown, bytes.
MAX_CONTENT = 1024 * 1024
#: Entries of one folder that are looked at; a fuller one is told as cut off.
MAX_ENTRIES = 10_000
PIECE = 64 * 1024

Kind = Literal["file", "folder", "link", "other"]


class FileEntry(View):
    """Something in a folder. `modified_at` is epoch ms; `heavy`: made by tools, not worth opening."""

    name: str
    #: from the top of the project
    path: str
    kind: Kind
    #: bytes, of a file
    size: int | None
    modified_at: int
    heavy: bool


class FileList(Page[FileEntry]):
    """Part of a folder: folders first, then files, by name. `truncated`: it has more entries than are looked at."""

    path: str
    truncated: bool


class FileContent(View):
    """A file's content: `text`, or `base64` where it is not UTF-8."""

    path: str
    size: int
    modified_at: int
    text: str | None
    base64: str | None


def entries(workspace: Path, path: str, *, limit: int, after: str | None = None) -> FileList:
    """What is in the folder `path`; `after` is the cursor of the page before. Raises NotFound, Forbidden."""
    parts = inside.parts_of(path)
    prefix = "".join(f"{part}/" for part in parts)
    with inside.folder(workspace, parts) as here:
        found, truncated = _scan(here, prefix)
    found.sort(key=_place)
    if after is not None:
        found = [entry for entry in found if _cursor(entry) > after]
    following = _cursor(found[limit - 1]) if len(found) > limit else None
    return FileList(items=found[:limit], next=following, path="/".join(parts), truncated=truncated)


def _place(entry: FileEntry) -> str:
    return _cursor(entry)


def _cursor(entry: FileEntry) -> str:
    """Sorts folders before files; a name that is not there any more is still a place between others."""
    return f"{'0' if entry.kind == 'folder' else '1'}{entry.name}"


def _scan(here: int, prefix: str) -> tuple[list[FileEntry], bool]:
    found: list[FileEntry] = []
    with os.scandir(here) as listing:
        for entry in listing:
            if len(found) == MAX_ENTRIES:
                return found, True
            try:
                state = entry.stat(follow_symlinks=False)
            except OSError:
                continue  # gone meanwhile
            name = _shown(entry.name)
            kind = _kind(state.st_mode)
            found.append(
                FileEntry(
                    name=name,
                    path=prefix + name,
                    kind=kind,
                    size=state.st_size if kind == "file" else None,
                    modified_at=state.st_mtime_ns // 1_000_000,
                    heavy=kind == "folder" and entry.name in LEFT_OUT_FOLDERS,
                )
            )
    return found, False


def _shown(name: str) -> str:
    """A name that is not UTF-8 is shown with marks where it is not."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _kind(mode: int) -> Kind:
    if stat.S_ISDIR(mode):
        return "folder"
    if stat.S_ISREG(mode):
        return "file"
    return "link" if stat.S_ISLNK(mode) else "other"


def content(workspace: Path, path: str) -> FileContent:
    """What is in the file `path`. Raises NotFound, Forbidden, PayloadTooLarge above 1 MiB."""
    descriptor, name = _opened(workspace, path)
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(file.fileno())
        # One byte more than is shown: a file that grows meanwhile is not cut silently.
        data = file.read(MAX_CONTENT + 1)
    if len(data) > MAX_CONTENT:
        raise PayloadTooLarge(f"{name} is larger than 1 MiB.", hint="Download it instead.")
    text = _text(data)
    return FileContent(
        path="/".join(inside.parts_of(path)), size=len(data), modified_at=state.st_mtime_ns // 1_000_000, text=text,
        base64=None if text is not None else base64.b64encode(data).decode(),
    )  # fmt: skip


def _text(data: bytes) -> str | None:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def download(workspace: Path, path: str) -> tuple[str, int, Iterator[bytes]]:
    """(name, bytes, pieces) of a file of any size. Raises NotFound, Forbidden."""
    descriptor, name = _opened(workspace, path)
    return name, os.fstat(descriptor).st_size, pieces(descriptor)


def pieces(descriptor: int) -> Iterator[bytes]:
    """What the file held when this began, piece by piece; closes it. One that shrinks meanwhile ends in an error, not in silence."""
    left = os.fstat(descriptor).st_size
    return Pieces(descriptor, left)


class Pieces(Iterator[bytes]):
    """Pieces of an open file. It is closed at the end, by `close`, or when nobody has it any more."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor: int | None = descriptor
        self._left = size

    def __next__(self) -> bytes:
        if self._descriptor is None:
            raise StopIteration
        if not self._left:
            self.close()
            raise StopIteration
        piece = os.read(self._descriptor, min(PIECE, self._left))
        if not piece:
            self.close()
            raise OSError("the file became shorter while it was read")
        self._left -= len(piece)
        return piece

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    __del__ = close


def _opened(workspace: Path, path: str) -> tuple[int, str]:
    parts = inside.parts_of(path)
    if not parts:
        raise NotFound("This is the project's folder, not a file.", hint="Name a file in it.")
    with inside.folder(workspace, parts[:-1]) as here:
        return inside.open_file(here, parts[-1]), parts[-1]
