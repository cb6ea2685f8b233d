"""Text for Slack: what a model or a person wrote never becomes a mention of everybody, and fits."""

from __future__ import annotations

import re

#: Most of a `markdown` block, and of one piece of a stream, characters (12,000 is Slack's).
MARKDOWN = 11_000
#: Most of a message's `text`, bytes after escaping (4,000 is Slack's for `chat.update`).
PLAIN = 3_500
#: A zero-width space: breaks what would be a mention, and is not seen.
BREAK = "\u200b"
_MENTION = re.compile(r"<(?=[!@#])")
_EVERYBODY = re.compile(r"@(?=(?:channel|here|everyone|group)\b)", re.IGNORECASE)
_UNSETTLED = re.compile(r"(?:<|<?@[a-z]{0,8})$", re.IGNORECASE)
_FENCE = re.compile(r"^ {0,3}(```+|~~~+)(.*)$", re.MULTILINE)


def escaped(text: str) -> str:
    """For mrkdwn: Slack's three characters, and no mention of everybody."""
    return _EVERYBODY.sub(f"@{BREAK}", text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def unescaped(text: str) -> str:
    """What a person typed, from what Slack sent."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def harmless(markdown: str) -> str:
    """For `markdown` blocks and streams: standard Markdown in which nothing mentions anybody."""
    return _EVERYBODY.sub(f"@{BREAK}", _MENTION.sub(f"<{BREAK}", markdown))


def settled(markdown: str) -> str:
    """Without a last word that may become another one when more is written: ``@chan`` becomes a mention with what follows."""
    return _UNSETTLED.sub("", markdown)


def cut(text: str, most: int) -> str:
    """At most so many characters; what is left out is shown."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def line(text: str, most: int = 120) -> str:
    """`text` on one line."""
    return cut(" ".join(text.split()), most)


def fitting(text: str, most: int = PLAIN) -> str:
    """`text` as the plain text of a message: escaped and of at most so many bytes."""
    shown = escaped(text)
    while len(shown.encode()) > most:
        text = text[: max(1, len(text) * most // len(shown.encode()) - 8)] + "…"
        shown = escaped(text)
    return shown


def open_fence(markdown: str) -> str | None:
    """The line that opened the code block that `markdown` ends in; None when it ends in none."""
    opened: str | None = None
    for found in _FENCE.finditer(markdown):
        marks, info = found.group(1), found.group(2)
        if opened is None:
            opened = found.group(0).strip()
        elif marks.startswith(closing(opened)) and not info.strip():
            opened = None
    return opened


def cut_markdown(markdown: str, most: int) -> str:
    """The beginning of `markdown`, with what is open in it closed, and a sign that there is more."""
    if len(markdown) <= most:
        return markdown
    begun = markdown[:most].rstrip()
    fence = open_fence(begun)
    return f"{begun}\n{closing(fence)}\n…" if fence else f"{begun}\n\n…"


def closing(fence: str) -> str:
    """What closes the block that the line `fence` opened."""
    return fence[: len(fence) - len(fence.lstrip(fence[0]))]


def duration(ms: int) -> str:
    """``1m 42s``"""
    seconds = max(0, ms) // 1000
    if seconds < 60:
        return f"{seconds}s"
    return f"{seconds // 60}m {seconds % 60:02d}s" if seconds < 3600 else f"{seconds // 3600}h {seconds % 3600 // 60:02d}m"


def ago(ms: int) -> str:
    """``3 h ago``"""
    minutes = max(0, ms) // 60_000
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return f"{minutes} min ago"
    hours = minutes // 60
    return f"{hours} h ago" if hours < 48 else f"{hours // 24} days ago"
