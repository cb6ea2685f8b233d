"""What is told of a tool call: a title, its input, output and metadata, cut to a sane size and relative to the workspace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from doce.opencode.paths import relative_path, relative_text
from doce.opencode.state import Edit

OUTPUT_LIMIT = 20_000
INPUT_LIMIT = 4_000
PROGRESS_LIMIT = 4_000
TITLE_LIMIT = 200

#: Said again elsewhere (output, diff) or of no use to a reader, and large.
_LEFT_OUT = {"output", "preview", "diagnostics", "loaded", "todos"}
#: Text of files: shown as it is.
_CONTENT = {"content", "oldString", "newString"}
_PATHS = {"filePath", "filepath", "file", "path", "workdir", "cwd"}
#: The field of a tool's input that says best what it is about, in order of preference.
_SUBJECTS = ("description", "filePath", "path", "command", "pattern", "url", "query", "name")


def shorten(text: str, limit: int = OUTPUT_LIMIT) -> str:
    """`text`, or its beginning and end with a mark between them that says how much is left out."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n… {len(text) - 2 * half:,} characters left out …\n{text[-half:]}"


def tool_title(name: str, tool_input: Mapping[str, Any], workspaces: tuple[str, ...]) -> str:
    """One line about the call, from its input only, so that it is the same whenever it is made."""
    if name == "question":
        questions = tool_input.get("questions")
        first = questions[0] if isinstance(questions, list) and questions else None
        return str(first.get("question", name))[:TITLE_LIMIT] if isinstance(first, Mapping) else name
    for subject in _SUBJECTS:
        value = tool_input.get(subject)
        if isinstance(value, str) and value.strip():
            text = relative_path(value, workspaces) if subject in _PATHS else relative_text(value, workspaces)
            return text.strip().splitlines()[0][:TITLE_LIMIT]
    return name


def tool_input(value: Mapping[str, Any], workspaces: tuple[str, ...]) -> dict[str, Any]:
    """The input as it is told."""
    return {str(key): _tell(item, str(key), workspaces, INPUT_LIMIT) for key, item in value.items()}


def tool_metadata(value: Mapping[str, Any], workspaces: tuple[str, ...]) -> dict[str, Any]:
    """The metadata as it is told."""
    left_out = _LEFT_OUT | {"diff"} if "filediff" in value else _LEFT_OUT
    return {str(key): _tell(item, str(key), workspaces, OUTPUT_LIMIT) for key, item in value.items() if key not in left_out}


def edit_of(state: Mapping[str, Any], workspaces: tuple[str, ...]) -> Edit | None:
    """What a completed call did to a file, when it says so."""
    metadata, given = state.get("metadata") or {}, state.get("input") or {}
    diff = metadata.get("filediff")
    if isinstance(diff, Mapping) and isinstance(diff.get("file"), str):
        return Edit(relative_path(diff["file"], workspaces), _count(diff.get("additions")), _count(diff.get("deletions")))
    path, content = metadata.get("filepath"), given.get("content")
    if not isinstance(path, str) or not isinstance(content, str):
        return None
    lines = content.count("\n") + (not content.endswith("\n") and content != "")
    return Edit(relative_path(path, workspaces), *((lines, 0) if metadata.get("exists") is False else (None, None)))


def _count(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _tell(value: Any, key: str, workspaces: tuple[str, ...], limit: int, depth: int = 8) -> Any:
    if isinstance(value, str):
        if key in _PATHS:
            return relative_path(value, workspaces)
        return shorten(value if key in _CONTENT else relative_text(value, workspaces), limit)
    if depth == 0:
        return "…"
    if isinstance(value, Mapping):
        return {str(name): _tell(item, str(name), workspaces, limit, depth - 1) for name, item in value.items()}
    if isinstance(value, list):
        return [_tell(item, key, workspaces, limit, depth - 1) for item in value[:200]]
    return value
