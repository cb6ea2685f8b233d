"""Slack's own markup: ``<@U1>``, ``<#C1|sites>``, ``<https://…|words>``, and three escaped characters."""

from __future__ import annotations

import re
from typing import Any

Raw = dict[str, Any]

MARKUP = re.compile(r"<([^<>]*)>")


def rich_text(text: str) -> Raw:
    """Text in Slack's markup as the block in which Slack delivers it."""
    elements: list[Raw] = []
    at = 0
    for found in MARKUP.finditer(text):
        if found.start() > at:
            elements.append({"type": "text", "text": unescape(text[at : found.start()])})
        elements.append(_marked(found[1]))
        at = found.end()
    if at < len(text):
        elements.append({"type": "text", "text": unescape(text[at:])})
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": elements}]}


def _marked(inside: str) -> Raw:
    target, _, label = inside.partition("|")
    match target[:1]:
        case "@":
            return {"type": "user", "user_id": target[1:]}
        case "#":
            return {"type": "channel", "channel_id": target[1:]}
        case "!":
            return {"type": "broadcast", "range": target[1:]}
    return {"type": "link", "url": unescape(target)} | ({"text": unescape(label)} if label else {})


def escape(text: str) -> str:
    """The three characters that mean something to Slack."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def unescape(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
