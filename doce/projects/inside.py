"""Reaching into a workspace without ever leaving it.

The agent can plant links and swap folders while doce looks. So nothing is reached by a path: each folder is opened from the
one above it, and no link is followed at any step. What the workspace holds is a name in an open folder.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from doce.errors import BadRequest, Conflict, Forbidden, NotFound

#: Deepest folder that is reached, and the longest path, characters.
MAX_DEPTH = 32
MAX_PATH = 1024
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Not blocking: opening a pipe that nobody writes to would wait for ever.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def parts_of(path: str) -> tuple[str, ...]:
    """`path` as names from the top of the workspace. Raises Forbidden for one that leaves it, BadRequest for none at all."""
    if len(path) > MAX_PATH or "\0" in path:
        raise BadRequest("This is not a path.", hint=f"A path has at most {MAX_PATH} characters.", details={"field": "path"})
    if path.startswith("/"):
        raise outside(path)
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if ".." in parts:
        raise outside(path)
    if len(parts) > MAX_DEPTH:
        raise BadRequest(f"This path is more than {MAX_DEPTH} folders deep.", details={"field": "path"})
    return parts


def outside(path: str) -> Forbidden:
    return Forbidden(
        f"{path[:100]!r} leads out of the workspace.", hint="Paths are relative to the top of the project; links are not followed."
    )


@contextlib.contextmanager
def folder(workspace: Path, parts: tuple[str, ...] = (), *, make: bool = False) -> Iterator[int]:
    """A descriptor of a folder of the workspace; with `make` the last missing ones are made, as the workspace's owner.

    Raises NotFound, Forbidden where a link stands in the way, Conflict while the project has no files at all.
    """
    here = _top(workspace)
    try:
        for name in parts:
            below = _below(here, name, make=make)
            os.close(here)
            here = below
        yield here
    finally:
        os.close(here)


def _top(workspace: Path) -> int:
    try:
        return os.open(workspace, _FOLDER)
    except OSError:
        raise Conflict("The project has no files yet.", hint="They are there as soon as its template is copied.") from None


def _below(here: int, name: str, *, make: bool) -> int:
    try:
        return _open(here, name, _FOLDER)
    except NotFound:
        if not make:
            raise
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=here)
    made = _open(here, name, _FOLDER)
    hand_over(made, here)
    return made


def open_below(here: int, name: str) -> int:
    """A descriptor of the folder `name` in the open folder `here`. Raises NotFound, Forbidden for a link."""
    return _open(here, name, _FOLDER)


def open_file(here: int, name: str) -> int:
    """A descriptor of the regular file `name` in the open folder `here`. Raises NotFound, Forbidden for anything else."""
    descriptor = _open(here, name, _FILE)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Forbidden(f"{name[:100]!r} is not a file.", hint="Only files have contents; list a folder instead.")
    return descriptor


def _open(here: int, name: str, flags: int) -> int:
    try:
        return os.open(name, flags, dir_fd=here)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK) or _is_link(here, name):
            raise outside(name) from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.ENXIO):
            raise Forbidden(f"{name[:100]!r} cannot be read.") from None
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
            raise NotFound(f"There is no {name[:100]!r} in this project.") from None
        raise


def _is_link(here: int, name: str) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode)
    except (OSError, ValueError):
        return False


def hand_over(descriptor: int, here: int) -> None:
    """Let what doce made belong to whoever owns the folder `here`: with Docker that is the user the containers run as."""
    wanted, mine = os.fstat(here), os.fstat(descriptor)
    if (wanted.st_uid, wanted.st_gid) != (mine.st_uid, mine.st_gid):
        # Only root may give files away; without it both are the same user, or the runtime cannot work anyway.
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, wanted.st_uid, wanted.st_gid)
