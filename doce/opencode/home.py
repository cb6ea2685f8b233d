"""OpenCode's home, which the agent can write and doce fills before every start.

The agent may have put links, files or pipes where doce is about to write. So each folder is opened from the one above it, no
link is followed, and what stands in the way is removed.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

#: Where OpenCode looks for its plug-ins.
CONFIG = (".config", "opencode")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def prepare_home(home: Path, version: str = "1.18.33") -> None:
    """Make OpenCode's home so that it installs nothing: at start it would fetch a 60 MB plug-in library for plug-ins
    that nobody has. It looks only whether the library is named by package.json and its lock, and node_modules is there.
    """
    dependencies = {"@opencode-ai/plugin": version}
    lock = {"lockfileVersion": 3, "requires": True, "packages": {"": {"dependencies": dependencies}}}
    home.mkdir(parents=True, exist_ok=True)
    here = os.open(home, _FOLDER)
    try:
        for name in CONFIG:
            here = _enter(here, name)
        os.close(_make(here, "node_modules"))
        _write(here, "package.json", json.dumps({"dependencies": dependencies}))
        _write(here, "package-lock.json", json.dumps(lock))
        # What OpenCode would write itself.
        _write(here, ".gitignore", "node_modules\npackage.json\npackage-lock.json\nbun.lock\n.gitignore\n")
    finally:
        os.close(here)


def _enter(here: int, name: str) -> int:
    below = _make(here, name)
    os.close(here)
    return below


def _make(here: int, name: str) -> int:
    """The folder `name` in the open folder `here`, in place of whatever is called so."""
    found = _kind(here, name)
    if found is not None and not stat.S_ISDIR(found):
        os.unlink(name, dir_fd=here)
        found = None
    if found is None:
        os.mkdir(name, 0o755, dir_fd=here)
    below = os.open(name, _FOLDER, dir_fd=here)
    if found is None:
        _hand_over(below, here)
    return below


def _write(here: int, name: str, text: str) -> None:
    """In one rename, which replaces a link and does not follow it. A folder of that name is the agent's own loss."""
    found = _kind(here, name)
    if found is not None and stat.S_ISDIR(found):
        return
    half = f".{name}.{os.getpid()}.new"
    if _kind(here, half) is not None:
        os.unlink(half, dir_fd=here)
    with open(os.open(half, _NEW, 0o644, dir_fd=here), "w", encoding="utf-8") as file:  # noqa: PTH123 - by descriptor
        file.write(text)
        _hand_over(file.fileno(), here)
    os.replace(half, name, src_dir_fd=here, dst_dir_fd=here)


def _kind(here: int, name: str) -> int | None:
    try:
        return os.stat(name, dir_fd=here, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None


def _hand_over(descriptor: int, here: int) -> None:
    """To the owner of the folder it is in, when doce is root and the agent somebody else."""
    owner = os.fstat(here)
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
