"""A zip file from somebody, as the files of a new project. It is not believed in anything.

Names may lead elsewhere, entries may be links, a few bytes may unpack to terabytes, the list of entries may itself be a flood.
All of that is refused before, or counted while, something is written; and it is written where no agent reaches.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from doce.errors import BadRequest, PayloadTooLarge, Unavailable
from doce.projects import inside
from doce.projects.history import LEFT_OUT_FOLDERS
from doce.projects.templates import Template

#: Largest zip file, and what it may unpack to, bytes; most entries, and the longest list of them, bytes.
MAX_ZIP = 100 * 1024**2
MAX_BYTES = 500 * 1024**2
MAX_FILES = 20_000
MAX_LIST = 8 * 1024**2
PIECE = 64 * 1024
_DRIVE = re.compile(r"^[A-Za-z]:")
_BROKEN = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    IndexError,
    OverflowError,
)


def unpack(archive: Path, target: Path, template: Template) -> int:
    """Write the files of `archive` to the new folder `target`; what `template` needs beside them is added. Returns how many.

    Raises BadRequest naming what is wrong, PayloadTooLarge, Unavailable when the disk is full; nothing is left then.
    """
    target.mkdir(parents=True)
    try:
        count = _unpack(archive, target, template)
    except _BROKEN:
        shutil.rmtree(target, ignore_errors=True)
        raise _not_a_zip() from None
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        if error.errno == errno.EINVAL:
            # An entry that is said to begin before the file does.
            raise _not_a_zip() from None
        raise Unavailable(f"The files could not be written: {error.strerror}.", hint="Free some disk space and try again.") from error
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    return count


def _not_a_zip() -> BadRequest:
    return BadRequest("This is not a zip file that can be read.", hint="Pack the project's files again, without a password.")


def _unpack(archive: Path, target: Path, template: Template) -> int:
    with archive.open("rb") as file:
        _check_list(file)
        with zipfile.ZipFile(file) as opened:
            wanted = dict(_wanted(opened, template))
            if not wanted:
                raise BadRequest("The zip file holds no files.", hint="Pack the files of the project, not an empty folder.")
            left = MAX_BYTES
            for path, info in wanted.items():
                left -= _write(opened, info, target / path, left)
    _complete(target, template, set(wanted))
    return len(wanted)


def _check_list(file: object) -> None:
    """The list of entries is read whole by `ZipFile`: only when it is of a size that can be."""
    # Private, but the very thing ZipFile looks at: a look of our own could be led to another one.
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    if not end:
        raise _not_a_zip()
    if end[5] > MAX_LIST or end[4] > MAX_FILES:
        raise _too_much()


def _too_much() -> PayloadTooLarge:
    return PayloadTooLarge(
        f"The zip file holds more than {MAX_FILES:,} files or {MAX_BYTES // 1024**2} MiB.",
        hint="Leave out dependencies and build output; they are made again.",
    )


def _wanted(opened: zipfile.ZipFile, template: Template) -> Iterator[tuple[str, zipfile.ZipInfo]]:
    """(path, entry) of each file to be written."""
    found: list[tuple[tuple[str, ...], zipfile.ZipInfo]] = []
    folded: set[str] = set()
    for info in opened.infolist():
        parts = _parts(info)
        if not _is_plain(info) or any(_dropped(part) for part in parts):
            continue
        if info.flag_bits & 1:
            raise BadRequest("The zip file is encrypted.", hint="Pack it without a password.")
        path = "/".join(parts)
        if path in folded:
            raise BadRequest(f"The zip file holds {path[:100]!r} twice.")
        folded.add(path)
        found.append((parts, info))
    if sum(info.file_size for _, info in found) > MAX_BYTES:
        raise _too_much()
    top = {parts[0] for parts, _ in found}
    # Packed with the folder around it, as code hosts do.
    around = len(top) == 1 and all(len(parts) > 1 for parts, _ in found) and not (template.workspace / next(iter(top))).exists()
    for parts, info in found:
        yield "/".join(parts[1:] if around else parts), info


def _parts(info: zipfile.ZipInfo) -> tuple[str, ...]:
    """The names of an entry. Raises BadRequest for one that would lie elsewhere or cannot be."""
    name = info.orig_filename.replace("\\", "/")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    wrong = (
        name.startswith("/")
        or _DRIVE.match(name)
        or ".." in parts
        or not name.isprintable()
        or len(parts) > inside.MAX_DEPTH
        or len(name) > inside.MAX_PATH
        or any(len(part.encode("utf-8", "surrogatepass")) > 255 for part in parts)
    )
    if wrong:
        raise BadRequest(f"The zip file holds a name that cannot be: {name[:100]!r}.", hint="Names are relative, printable, without `..`.")
    return parts


def _is_plain(info: zipfile.ZipInfo) -> bool:
    """A file: links, pipes and devices stay out, folders are made when something is in them."""
    mode = stat.S_IFMT(info.external_attr >> 16)
    return not info.is_dir() and not info.orig_filename.endswith(("/", "\\")) and mode in (0, stat.S_IFREG)


def _dropped(part: str) -> bool:
    """What is made again, or would be a repository with commands of its own."""
    return part in LEFT_OUT_FOLDERS or part.lower().rstrip(". ") in (".git", "git~1")


def _write(opened: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, left: int) -> int:
    """Write one entry, counting what really comes; returns its size."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = 0o755 if (info.external_attr >> 16) & 0o100 else 0o644
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise BadRequest(f"The zip file holds {info.filename[:100]!r} both as a file and as a folder.") from None
    size = 0
    with os.fdopen(descriptor, "wb") as file, opened.open(info) as entry:
        while piece := entry.read(PIECE):
            size += len(piece)
            if size > left:
                raise _too_much()
            file.write(piece)
    return size


def _complete(target: Path, template: Template, paths: set[str]) -> None:
    """Add the template's own top files (its dev server, its list of packages) to files that bring no package of their own."""
    if "package.json" in paths:
        return
    for file in sorted(template.workspace.iterdir()):
        if file.is_file() and not (target / file.name).exists():
            shutil.copyfile(file, target / PurePosixPath(file.name))
