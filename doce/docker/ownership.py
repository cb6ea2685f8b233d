"""Files that containers write belong to the user the containers run as, who is never root."""

from __future__ import annotations

import os
from pathlib import Path

#: Whom containers run as when the data folder is root's.
FALLBACK = 1000


def container_user(data: Path, wanted: int | None) -> int:
    """The user id of every container: the setting, else the owner of the data folder, never root."""
    return wanted or data.stat().st_uid or FALLBACK


def give(folder: Path, uid: int) -> None:
    """Make `folder` and all in it belong to `uid`; does nothing when doce is not root, whose files they are then anyway.

    An agent may change the folder meanwhile: every name is looked up in a folder that is held open, and no link is followed.
    """
    if os.geteuid() != 0 or not folder.exists():
        return
    for _path, folders, names, descriptor in os.fwalk(folder, follow_symlinks=False):
        if os.fstat(descriptor).st_uid != uid:
            os.fchown(descriptor, uid, uid)
        for name in (*folders, *names):
            try:
                if os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_uid != uid:
                    os.chown(name, uid, uid, dir_fd=descriptor, follow_symlinks=False)
            except FileNotFoundError:
                continue
