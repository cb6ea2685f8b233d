"""Files that are arriving: kept beside the projects, on the same disk, until they are wanted; nothing of an agent reaches here."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from doce.settings import Settings


@dataclass(frozen=True, slots=True)
class Received:
    """A file that has arrived whole: where it lies (doce's own folder), what its sender calls it, bytes."""

    path: Path
    name: str | None
    media_type: str
    size: int

    def discard(self) -> None:
        """Nobody wants it, or somebody has taken it."""
        self.path.unlink(missing_ok=True)


class Incoming:
    """The folder ``data/incoming``."""

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.data.absolute() / "incoming"

    def begin(self) -> tuple[Path, BinaryIO]:
        """A new, empty file, open for writing. Raises OSError when the disk is full."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, path = tempfile.mkstemp(prefix="file-", dir=self.folder)
        return Path(path), os.fdopen(descriptor, "wb")

    def workspace(self, project_id: str) -> Path:
        """Where the files of a project that is not there yet are laid out; `project.create` takes them from here."""
        return self.folder / project_id / "workspace"

    def forget(self, project_id: str) -> None:
        """Remove what was laid out for a project."""
        shutil.rmtree(self.folder / project_id, ignore_errors=True)

    def sweep(self, wanted: Collection[str]) -> None:
        """Remove everything but what was laid out for the projects `wanted`: what arrived when doce was killed."""
        if not self.folder.is_dir():
            return
        for entry in os.scandir(self.folder):
            if entry.name in wanted:
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    Path(entry.path).unlink()
