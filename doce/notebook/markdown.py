"""What a model wrote as HTML: its Markdown, never its markup. Links lead to the web or nowhere, and never away from the notebook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from doce.notebook.show import LINK

_made = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"]).disable(["image"])


def rendered(text: str) -> str:
    """Safe HTML: raw HTML is shown as text, images are not loaded, ``javascript:`` and the like are no links."""
    return str(_made.render(text))


def _link(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    if str(token.attrGet("href") or "").startswith(("http://", "https://")):
        token.attrs |= {"target": "_blank", "rel": "noopener noreferrer", "style": LINK}
    else:
        # Relative to the notebook's page it would lead somewhere else.
        token.attrs.pop("href", None)
    return str(renderer.renderToken(tokens, index, options, env))


_made.add_render_rule("link_open", _link)
