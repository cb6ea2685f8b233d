"""What a build made, as one number: SHA-256 over sorted relative paths and contents."""

from __future__ import annotations

import filecmp
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from doce.errors import BadRequest

MAX_FILES = 100_000
MAX_BYTES = 2 * 1024 * 1024 * 1024
#: Deepest folder; beyond a thousand Python itself gives up.
MAX_DEPTH = 64
PIECE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Output:
    """A build's output. `bytes` is the size of all files."""

    digest: str
    files: int
    bytes: int

    @property
    def hash(self) -> str:
        """What its folder is called: the first 8 hexadecimal characters."""
        return self.digest[:8]


def paths(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Regular files under `folder` by relative path, sorted.

    Raises BadRequest for a link or a device: what is served must be what was built.
    """
    found: list[tuple[str, os.stat_result]] = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in (".git", "node_modules"))
        if len(Path(place).relative_to(folder).parts) > MAX_DEPTH:
            raise BadRequest(
                f"The output has folders more than {MAX_DEPTH} deep.", hint="Nobody nests that deep; look at what the build does."
            )
        for name in (*names, *[one for one in folders if Path(place, one).is_symlink()]):
            path = Path(place, name)
            status, relative = path.lstat(), path.relative_to(folder).as_posix()
            if not stat.S_ISREG(status.st_mode):
                raise BadRequest(
                    f"The output has {relative!r}, which is no ordinary file.", hint="Links cannot be deployed; copy the file."
                )
            found.append((relative, status))
    return iter(sorted(found))


def measure(folder: Path, extra: str = "", breathe: Callable[[], None] = lambda: None) -> Output:
    """The digest of `folder`, and of `extra`: what else makes a release another one, a server's start command.

    Raises BadRequest for an output that is not there, empty, too large, or holds links.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise BadRequest(f"The build made no folder {folder.name!r}.", hint="See the build's log; ask the agent to look at it.")
    total, count, size = hashlib.sha256(extra.encode()), 0, 0
    for path, status in paths(folder):
        breathe()
        count, size = count + 1, size + status.st_size
        if count > MAX_FILES or size > MAX_BYTES:
            raise BadRequest("The output is too large to deploy.", hint=f"{MAX_FILES:,} files and {MAX_BYTES // 2**20:,} MiB are the most.")
        total.update(len(os.fsencode(path)).to_bytes(4, "big") + os.fsencode(path) + status.st_size.to_bytes(8, "big"))
        with open(folder / path, "rb", opener=_no_link) as file:
            while piece := file.read(PIECE):
                total.update(piece)
    if not count:
        raise BadRequest(f"The build left the folder {folder.name!r} empty.", hint="See the build's log; ask the agent to look at it.")
    return Output(total.hexdigest(), count, size)


def copy(source: Path, target: Path, at_s: int, before: Path | None = None, breathe: Callable[[], None] = lambda: None) -> None:
    """Copy the files of an output, readable by all and writable by nobody.

    Their time is `at_s`, epoch seconds; a file that is the same in the folder `before` has the time that it has there. Web servers
    tell a file's versions apart by time and size: a browser need not fetch again what did not change, and fetches all that did.
    """
    target.mkdir(parents=True)
    for path, status in paths(source):
        breathe()
        place = target / path
        place.parent.mkdir(parents=True, exist_ok=True)
        with open(source / path, "rb", opener=_no_link) as taken, place.open("wb") as made:
            shutil.copyfileobj(taken, made, PIECE)
        place.chmod(0o444)
        old = before / path if before else None
        same = old is not None and old.is_file() and old.stat().st_size == status.st_size and filecmp.cmp(old, place, shallow=False)
        time_s = old.stat().st_mtime if old and same else at_s
        os.utime(place, (time_s, time_s))
    os.utime(target, (at_s, at_s))


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)
