"""What a model wrote: its Markdown, never its markup. Links lead to the web or nowhere, and never away from the notebook."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from doce.notebook.show import LINK

#: Code, roughly. Nothing hangs on it but looks: what begins a tag is broken in code and outside of it.
_CODE = re.compile(r"(^```[\s\S]*?^```|`[^`\n]+`)", re.MULTILINE)
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
#: Where a link leads, when that is not the web.
_LINKED = re.compile(r"\]\((?=\s*(?!https?://)\S)", re.IGNORECASE)
_DEFINED = re.compile(r"^([ >]*\[[^\]\n]+\]:[ \t]*\n?[ \t]*)(?!https?://)(?=\S)", re.IGNORECASE | re.MULTILINE)

_made = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"]).disable(["image"])


def rendered(text: str) -> str:
    """Safe HTML: raw HTML is shown as text, images are not loaded, ``javascript:`` and the like are no links."""
    return str(_made.render(text))


def harmless(text: str) -> str:
    """`text` as Markdown for whoever renders it, also one that lets markup through: markup is text, images are links."""
    shown = "".join(
        _TAG.sub("<\u200b" if number % 2 else "&lt;", part)  # in code an entity would be shown as it is written
        for number, part in enumerate(_CODE.split(text))
    )
    return _DEFINED.sub(r"\1#", _LINKED.sub("](#", shown.replace("![", "[")))


def _link(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    if str(token.attrGet("href") or "").startswith(("http://", "https://")):
        token.attrs |= {"target": "_blank", "rel": "noopener noreferrer", "style": LINK}
    else:
        # Relative to the notebook's page it would lead somewhere else.
        token.attrs.pop("href", None)
    return str(renderer.renderToken(tokens, index, options, env))


_made.add_render_rule("link_open", _link)
