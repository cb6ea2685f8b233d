"""Removing folders that an agent filled: deeper than any path, unwritable, full of links.

Nothing recurses. What lies in a folder is moved up to the top first and emptied there, so that every name is short, and two
descriptors are enough for any depth. Links are removed, never followed.
"""

from __future__ import annotations

import itertools
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from doce.errors import Unavailable

#: Folders between two breaths.
BREATH = 100
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(root: Path, breathe: Callable[[], None] = lambda: None) -> None:
    """Remove a folder; one that is not there is fine. `breathe` is called now and then, and may raise to end it.

    Raises Unavailable naming what could not be removed.
    """
    if not root.exists():
        return
    try:
        _remove(root, breathe)
    except OSError as error:
        raise Unavailable(
            f"{error.filename or root.name} could not be removed: {error.strerror}.", hint="doce tries again by itself."
        ) from error


def _remove(root: Path, breathe: Callable[[], None]) -> None:
    # Not the names of a removal before this one, which was killed.
    token = secrets.token_hex(4)
    names = (f".gone-{token}-{number}" for number in itertools.count())
    root.chmod(stat.S_IRWXU)
    top = os.open(root, _FOLDER)
    try:
        waiting = _empty(top, top, names)
        for count in itertools.count():
            if count % BREATH == 0:
                breathe()
            if not waiting:
                break
            name = waiting.pop()
            here = os.open(name, _FOLDER, dir_fd=top)
            try:
                waiting += _empty(here, top, names)
            finally:
                os.close(here)
            os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    root.rmdir()


def _empty(here: int, top: int, names: Iterator[str]) -> list[str]:
    """Remove the files of an open folder, and move its folders to `top`; returns what they are called there."""
    moved = []
    for name in os.listdir(here):
        if not stat.S_ISDIR(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=here)
            continue
        # To move a folder, and to list it, is to read and write it.
        os.chmod(name, stat.S_IRWXU, dir_fd=here)
        moved.append(next(names))
        os.rename(name, moved[-1], src_dir_fd=here, dst_dir_fd=top)
    return moved
