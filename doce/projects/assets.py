"""Assets: pictures, films, sounds and documents that people put into a project's ``public/`` themselves."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from doce.errors import BadRequest, Conflict, NotFound, PayloadTooLarge
from doce.projects import inside
from doce.projects.files import MAX_ENTRIES, pieces
from doce.projects.incoming import Received
from doce.projects.views import Page, View

FOLDER = ("public",)
#: Largest asset, bytes.
MAX_SIZE = 50 * 1024 * 1024
MAX_NAME = 100
#: What may be put there, and how it is served.
TYPES = {
    "jpg": "image/jpeg", "jpeg": "image/jpeg", "png": "image/png", "gif": "image/gif", "webp": "image/webp", "svg": "image/svg+xml",
    "mp4": "video/mp4", "webm": "video/webm", "mp3": "audio/mpeg", "wav": "audio/wav", "pdf": "application/pdf",
    "json": "application/json", "txt": "text/plain; charset=utf-8", "md": "text/markdown; charset=utf-8", "csv": "text/csv; charset=utf-8",
}  # fmt: skip


class AssetView(View):
    """An asset. `size` in bytes, `modified_at` epoch ms; `path` from the top of the project."""

    name: str
    path: str
    media_type: str
    size: int
    modified_at: int


def cleaned(name: str) -> str:
    """`name` as an asset may be called: letters, digits, dot, hyphen, underscore, and an extension that is known.

    Raises BadRequest.
    """
    last = name.replace("\\", "/").rpartition("/")[2]
    stem, dot, extension = last.rpartition(".")
    extension = extension.lower()
    if not dot or extension not in TYPES:
        raise BadRequest(f"{last[:100]!r} cannot be an asset.", hint=f"These can: {', '.join(TYPES)}.", details={"field": "name"})
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    plain = re.sub(r"-{2,}", "-", re.sub(r"[^A-Za-z0-9._-]", "-", plain)).strip(".-")[: MAX_NAME - len(extension) - 1]
    return f"{plain or 'asset'}.{extension}"


def assets(workspace: Path, *, limit: int, after: str | None = None) -> Page[AssetView]:
    """Assets by name; a project without the folder has none."""
    try:
        with inside.folder(workspace, FOLDER) as here:
            found = sorted(_scan(here), key=lambda asset: asset.name)
    except (NotFound, Conflict):
        found = []
    if after is not None:
        found = [asset for asset in found if asset.name > after]
    return Page(items=found[:limit], next=found[limit - 1].name if len(found) > limit else None)


def _scan(here: int) -> Iterator[AssetView]:
    with os.scandir(here) as listing:
        for number, entry in enumerate(listing):
            if number == MAX_ENTRIES:
                return
            if _media_type(entry.name) is None:
                continue
            with contextlib.suppress(OSError):  # gone meanwhile
                state = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(state.st_mode):
                    yield _view(entry.name, state)


def _media_type(name: str) -> str | None:
    return TYPES.get(_extension(name)) if name.isprintable() and name.isascii() else None


def _extension(name: str) -> str:
    return name.rpartition(".")[2].lower()


def _view(name: str, state: os.stat_result) -> AssetView:
    return AssetView(
        name=name, path="/".join((*FOLDER, name)), media_type=_media_type(name) or "application/octet-stream", size=state.st_size,
        modified_at=state.st_mtime_ns // 1_000_000,
    )  # fmt: skip


def add(workspace: Path, name: str, received: Received) -> AssetView:
    """Put a file that has arrived among the assets. Raises Conflict when there is one of that name, PayloadTooLarge."""
    wanted = cleaned(name)
    if received.size > MAX_SIZE:
        raise PayloadTooLarge(f"{wanted} is larger than {MAX_SIZE // 1024**2} MiB.", hint="Make it smaller, or link to it.")
    with inside.folder(workspace, FOLDER, make=True) as here:
        _prepare(received.path, here)
        # A second name for the file that has arrived: whole at once, and never over another one.
        _link(received.path, wanted, here)
        return _state(here, wanted)


def _prepare(path: Path, here: int) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o644)
        inside.hand_over(descriptor, here)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _link(source: Path | str, name: str, here: int, *, source_folder: int | None = None) -> None:
    try:
        os.link(source, name, src_dir_fd=source_folder, dst_dir_fd=here, follow_symlinks=False)
    except FileExistsError:
        raise Conflict(f"There is already an asset {name}.", hint="Delete it first, or take another name.") from None
    except FileNotFoundError:
        raise NotFound("There is no such asset.") from None


def _state(here: int, name: str) -> AssetView:
    try:
        return _view(name, os.stat(name, dir_fd=here, follow_symlinks=False))
    except FileNotFoundError:
        raise NotFound(f"{name} has gone meanwhile.", hint="The agent may have moved it; list the assets again.") from None


def rename(workspace: Path, name: str, new_name: str) -> AssetView:
    """Another name with the same extension. Raises NotFound, Conflict when it is taken, BadRequest."""
    wanted = cleaned(new_name)
    with inside.folder(workspace, FOLDER) as here:
        _known(here, name)
        if _extension(wanted) != _extension(name):
            raise BadRequest(f"{name} cannot become {wanted}.", hint="The extension stays.", details={"field": "newName"})
        if wanted != name:
            _link(name, wanted, here, source_folder=here)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=here)
        return _state(here, wanted)


def delete(workspace: Path, name: str) -> None:
    """Remove an asset. Raises NotFound."""
    with inside.folder(workspace, FOLDER) as here:
        _known(here, name)
        try:
            os.unlink(name, dir_fd=here)
        except FileNotFoundError:
            raise NotFound("There is no such asset.") from None


def download(workspace: Path, name: str) -> tuple[AssetView, Iterator[bytes]]:
    """An asset and its bytes. Raises NotFound, Forbidden for a link."""
    with inside.folder(workspace, FOLDER) as here:
        if _media_type(name) is None or "/" in name:
            raise NotFound("There is no such asset.")
        descriptor = inside.open_file(here, name)
        return _view(name, os.fstat(descriptor)), pieces(descriptor)


def _known(here: int, name: str) -> None:
    """It is an asset and a file of its own."""
    if _media_type(name) is None or "/" in name or "\0" in name:
        raise NotFound("There is no such asset.", hint="The list of assets names them.")
    try:
        mode = os.stat(name, dir_fd=here, follow_symlinks=False).st_mode
    except OSError:
        raise NotFound("There is no such asset.", hint="The list of assets names them.") from None
    if not stat.S_ISREG(mode):
        raise inside.outside(name)
