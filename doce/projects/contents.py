"""What a project is made of: its workspace without what can be made again and without secrets, as it leaves this doce."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from doce.errors import Forbidden, NotFound, PayloadTooLarge
from doce.projects import inside
from doce.projects.history import KEPT_FILES, LEFT_OUT_FILES, LEFT_OUT_FOLDERS
from doce.projects.templates import Template

#: Most files and bytes that leave at once.
MAX_FILES = 50_000
MAX_BYTES = 2 * 1024**3
#: Files that may hold a key or a password, whatever else is in them.
SECRETS = (
    *LEFT_OUT_FILES, ".envrc", ".npmrc", ".netrc", ".pypirc", ".git-credentials", ".htpasswd",
    "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Item:
    """A file that is part of a project: its path, and the open folder it is in, good until the next item."""

    path: str
    here: int
    name: str
    state: os.stat_result

    def open(self) -> int | None:
        """A descriptor of it; None when it has gone, is no file any more, or cannot be read."""
        try:
            return inside.open_file(self.here, self.name)
        except (NotFound, Forbidden):
            return None


def items(workspace: Path, template: Template) -> Iterator[Item]:
    """Every file that is part of a project, in the order of their names. Links are left out, never followed."""
    output = template.build.output.strip("/") if template.build.command else ""
    with inside.folder(workspace) as top:
        yield from _below(top, "", 0, lambda path, name: name in LEFT_OUT_FOLDERS or path == output)


def _below(here: int, prefix: str, depth: int, left_out: Callable[[str, str], bool]) -> Iterator[Item]:
    for name in sorted(os.listdir(here)):
        path = prefix + name
        try:
            state = os.stat(name, dir_fd=here, follow_symlinks=False)
        except OSError:
            continue
        if stat.S_ISREG(state.st_mode):
            if not secret(name):
                yield Item(path, here, name, state)
        elif stat.S_ISDIR(state.st_mode) and depth < inside.MAX_DEPTH and not left_out(path, name):
            yield from _inside(here, name, path, depth, left_out)


def _inside(here: int, name: str, path: str, depth: int, left_out: Callable[[str, str], bool]) -> Iterator[Item]:
    try:
        below = inside.open_below(here, name)
    except (NotFound, Forbidden):
        return  # swapped meanwhile, or not for us
    try:
        yield from _below(below, f"{path}/", depth + 1, left_out)
    finally:
        os.close(below)


def secret(name: str) -> bool:
    """A file of this name stays here."""
    return name not in KEPT_FILES and any(fnmatch(name.lower(), pattern) for pattern in SECRETS)


def check_size(workspace: Path, template: Template) -> None:
    """Raises PayloadTooLarge for a project that is too much to leave at once."""
    count = size = 0
    for item in items(workspace, template):
        count, size = count + 1, size + item.state.st_size
        if count > MAX_FILES or size > MAX_BYTES:
            raise PayloadTooLarge(
                f"The project has more than {MAX_FILES:,} files or {MAX_BYTES // 1024**3} GiB.",
                hint="Remove what it does not need; dependencies and build output do not count.",
            )
