"""Tar archives laid out as plain files: no links, devices or paths that lead elsewhere, whatever the archive says."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path, PurePosixPath


def unpack(archive: tarfile.TarFile, target: Path, under: str = "") -> None:
    """Write the regular files of `archive` that lie in its folder `under` ("" for all) below `target`.

    Of a file's mode only the owner's right to run it counts. (Python before 3.11.4 has no `tarfile.data_filter`.)
    """
    for member in archive:
        path = PurePosixPath(member.name)
        if not member.isreg() or path.is_absolute() or ".." in path.parts or not path.is_relative_to(under):
            continue
        place = target / path.relative_to(under)
        place.parent.mkdir(parents=True, exist_ok=True)
        source = archive.extractfile(member)
        assert source
        with source, place.open("wb") as file:
            shutil.copyfileobj(source, file)
        place.chmod(0o755 if member.mode & 0o100 else 0o644)
