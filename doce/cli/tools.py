"""A tool call as one compact line."""

from __future__ import annotations

from typing import Any

from doce.cli.printable import one_line

#: Said better by events of their own.
SILENT = {"todowrite", "todoread", "question"}
WRITING = {"write", "edit", "multiedit", "patch", "apply_patch"}
_MARKS = {
    "write": "✎", "edit": "✎", "multiedit": "✎", "patch": "✎", "apply_patch": "✎", "bash": "$", "read": "·", "grep": "·", "glob": "·",
    "list": "·", "webfetch": "↗", "websearch": "↗", "task": "⇉", "skill": "·",
}  # fmt: skip


def tool_line(name: str, title: str, given: dict[str, Any]) -> str:
    """``$ ls -la public``, ``✎ write public/index.html``, ``· read package.json``."""
    if name == "bash":
        return f"$ {one_line(str(given.get('command') or title))}"
    subject = given.get("filePath") or given.get("pattern") or given.get("url") or given.get("path") or title
    return f"{_MARKS.get(name, '•')} {name} {one_line(str(subject))}"


def changed(additions: int | None, deletions: int | None) -> str:
    """`` +120 −3``; nothing for what is not known."""
    return "".join((f" +{additions}" if additions else "", f" −{deletions}" if deletions else ""))


def edit_counts(name: str, given: dict[str, Any], metadata: dict[str, Any]) -> tuple[int | None, int | None]:
    """Lines a finished call of a writing tool added and removed, as far as it says."""
    diff = metadata.get("filediff")
    if isinstance(diff, dict):
        return _number(diff.get("additions")), _number(diff.get("deletions"))
    content = given.get("content")
    if name == "write" and metadata.get("exists") is False and isinstance(content, str) and "characters left out" not in content:
        return len(content.splitlines()), 0
    return None, None


def trouble(output: str, metadata: dict[str, Any]) -> str | None:
    """What a shell command that failed says last."""
    code = metadata.get("exit")
    if code in (0, None):
        return None
    last = next((line for line in reversed(output.splitlines()) if line.strip()), "")
    return f"exit {code}{': ' + one_line(last, 200) if last else ''}"


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None
