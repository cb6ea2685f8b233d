"""Files that containers write belong to the user the containers run as, who is never root."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

#: Whom containers run as when the data folder is root's: the user that doce's images and Node's own have.
FALLBACK = 1000
#: Deepest folder that is looked at: doce itself writes nothing as deep, and an agent nests folders without end.
MAX_DEPTH = 48
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def container_user(data: Path, wanted: int | None) -> int:
    """The user id of every container: the setting, else the owner of the data folder, never root."""
    return wanted or data.stat().st_uid or FALLBACK


def known(uid: int, data: Path) -> Path | None:
    """A list of users with `uid` in it, for images that do not have it; None where they do.

    Programs that ask for their user's name (Node's `os.userInfo`) fail for a number without one.
    """
    if uid == FALLBACK:
        return None
    path = data.absolute() / "passwd"
    half = path.with_name(".passwd.new")
    half.write_text(f"root:x:0:0:root:/root:/usr/sbin/nologin\ndoce:x:{uid}:{uid}:doce:/tmp:/bin/bash\n", encoding="ascii")
    half.chmod(0o644)
    half.replace(path)
    return path


def give(folder: Path, uid: int) -> None:
    """Make `folder` and all in it belong to `uid`; does nothing when doce is not root, whose files they are then anyway.

    An agent may change the folder meanwhile: every name is looked up in a folder that is held open, and no link is followed.
    """
    if os.geteuid() != 0:
        return
    with _changed_meanwhile():
        _give(os.open(folder, _FOLDER), uid, 0)


def _give(here: int, uid: int, depth: int) -> None:
    """An open folder and what is in it; closes it."""
    try:
        if os.fstat(here).st_uid != uid:
            os.fchown(here, uid, uid)
        for name in os.listdir(here):
            with _changed_meanwhile():
                found = os.stat(name, dir_fd=here, follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode) and depth < MAX_DEPTH:
                    _give(os.open(name, _FOLDER, dir_fd=here), uid, depth + 1)
                elif found.st_uid != uid:
                    os.chown(name, uid, uid, dir_fd=here, follow_symlinks=False)
    finally:
        os.close(here)


@contextlib.contextmanager
def _changed_meanwhile() -> Iterator[None]:
    """What is gone, or a link now, is nobody's to give."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
