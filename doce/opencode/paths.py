"""Paths as people see them: relative to the workspace."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import PurePosixPath


def relative_path(path: str, workspaces: tuple[str, ...]) -> str:
    """`path` relative to the workspace; of a path outside it only the last name is told, behind ``…/``."""
    for workspace in workspaces:
        if path == workspace:
            return "."
        if path.startswith(workspace + "/"):
            return path[len(workspace) + 1 :]
    return f"…/{PurePosixPath(path).name}" if path.startswith("/") else path


def relative_text(text: str, workspaces: tuple[str, ...]) -> str:
    """`text` with every path of the workspace made relative; all else stays as it is."""
    if not workspaces or not any(workspace in text for workspace in workspaces):
        return text
    return _pattern(workspaces).sub(lambda found: "" if found.group(0).endswith("/") and found.group(1) else ".", text)


@lru_cache(maxsize=256)
def _pattern(workspaces: tuple[str, ...]) -> re.Pattern[str]:
    names = "|".join(re.escape(workspace) for workspace in sorted(workspaces, key=len, reverse=True))
    return re.compile(rf"(?<![\w./-])(?:{names})(?:(/)(?=[\w.@\[\]()*-])|/?(?![\w.-]))")
