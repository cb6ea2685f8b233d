"""What a model wrote as HTML: its Markdown, never its markup. Links lead to the web or nowhere."""

from __future__ import annotations

from markdown_it import MarkdownIt

_made = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"]).disable(["image"])


def rendered(text: str) -> str:
    """Safe HTML: raw HTML is shown as text, images are not loaded, ``javascript:`` and the like are no links."""
    return str(_made.render(text))
