"""Block Kit in short: each function is one block or element, of Slack's sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from doce_slack.text import MARKDOWN, cut

Block = dict[str, Any]


def plain(text: str, most: int = 75) -> Block:
    return {"type": "plain_text", "text": cut(text, most) or "…", "emoji": True}


def mrkdwn(text: str, most: int = 3000) -> Block:
    return {"type": "mrkdwn", "text": cut(text, most) or "…"}


def section(text: str, accessory: Block | None = None) -> Block:
    """`text` is mrkdwn, of at most 3,000 characters."""
    return {"type": "section", "text": mrkdwn(text), **({"accessory": accessory} if accessory else {})}


def context(*texts: str) -> Block:
    """Small print, mrkdwn."""
    return {"type": "context", "elements": [mrkdwn(text, 2000) for text in texts if text][:10]}


def markdown(text: str) -> Block:
    """Standard Markdown, as models write it."""
    return {"type": "markdown", "text": cut(text, MARKDOWN)}


def header(text: str) -> Block:
    return {"type": "header", "text": plain(text, 150)}


def divider() -> Block:
    return {"type": "divider"}


def actions(*elements: Block | None) -> list[Block]:
    """A row of buttons; nothing when there is none."""
    there = [one for one in elements if one]
    return [{"type": "actions", "elements": there[:25]}] if there else []


def button(text: str, action: str, value: str = "", *, style: str | None = None, url: str | None = None, ask: str | None = None) -> Block:
    """`value` names what is meant, never a secret; `ask` is a question before it is done."""
    made: Block = {"type": "button", "text": plain(text), "action_id": f"doce:{action}"}
    if value:
        made["value"] = value
    if style:
        made["style"] = style
    if url:
        made["url"] = url
    if ask:
        made["confirm"] = {"title": plain("Sure?", 100), "text": mrkdwn(ask, 300), "confirm": plain("Yes", 30), "deny": plain("No", 30)}
    return made


def option(text: str, value: str, description: str = "") -> Block:
    made: Block = {"text": plain(text), "value": value[:150]}
    if description:
        made["description"] = plain(description)
    return made


def overflow(action: str, options: Sequence[Block]) -> Block:
    return {"type": "overflow", "action_id": f"doce:{action}", "options": list(options)[:5]}


def select(action: str, placeholder: str, options: Sequence[Block], initial: Block | None = None) -> Block:
    made: Block = {
        "type": "static_select", "action_id": f"doce:{action}", "placeholder": plain(placeholder, 150), "options": list(options)[:100],
    }  # fmt: skip
    if initial:
        made["initial_option"] = initial
    return made


# Forms


def text_input(placeholder: str = "", *, initial: str = "", multiline: bool = False, most: int = 3000) -> Block:
    made: Block = {"type": "plain_text_input", "action_id": "doce:text", "multiline": multiline, "max_length": most}
    if placeholder:
        made["placeholder"] = plain(placeholder, 150)
    if initial:
        made["initial_value"] = initial[:most]
    return made


def choice(kind: str, options: Sequence[Block], initial: Block | None = None) -> Block:
    """`kind`: radio_buttons or checkboxes, of at most 10."""
    made: Block = {"type": kind, "action_id": "doce:choice", "options": list(options)[:10]}
    if initial:
        made["initial_option"] = initial
    return made


def multi_select(placeholder: str, options: Sequence[Block]) -> Block:
    return {
        "type": "multi_static_select", "action_id": "doce:choice", "placeholder": plain(placeholder, 150), "options": list(options)[:100],
    }  # fmt: skip


def searched(action: str, placeholder: str, initial: Block | None = None) -> Block:
    """A list too long to be sent: Slack asks doce for what fits the letters typed."""
    made: Block = {
        "type": "external_select", "action_id": f"doce:{action}", "placeholder": plain(placeholder, 150), "min_query_length": 0,
    }  # fmt: skip
    if initial:
        made["initial_option"] = initial
    return made


def conversations(placeholder: str) -> Block:
    return {
        "type": "conversations_select", "action_id": "doce:choice", "placeholder": plain(placeholder, 150),
        "filter": {"include": ["public", "private"], "exclude_bot_users": True},
    }  # fmt: skip


def field(name: str, label: str, element: Block, *, optional: bool = False, hint: str = "") -> Block:
    """An input of a form; `name` is what its value and what is wrong with it go by."""
    made: Block = {"type": "input", "block_id": name, "label": plain(label, 2000), "element": element, "optional": optional}
    if hint:
        made["hint"] = plain(hint, 2000)
    return made
