"""Long lists, a page at a time."""

from __future__ import annotations

import base64
from typing import TypeVar

from doce.testing.slack.call import Call
from doce.testing.slack.refusal import Refused

Item = TypeVar("Item")


def page(call: Call, items: list[Item], default: int = 100) -> tuple[list[Item], str]:
    """What `limit` and `cursor` ask for, and the cursor of the next page. Raises Refused with `invalid_cursor`."""
    start = 0
    if cursor := call.text("cursor"):
        try:
            start = int(base64.urlsafe_b64decode(cursor).decode().removeprefix("next:"))
        except ValueError:
            raise Refused("invalid_cursor") from None
    end = start + call.number("limit", default)
    return items[start:end], base64.urlsafe_b64encode(f"next:{end}".encode()).decode() if end < len(items) else ""


def kinds(call: Call) -> list[str]:
    """The kinds of channel that `types` asks for."""
    names = {"public_channel": "channel", "private_channel": "group"}
    return [names.get(each.strip(), each.strip()) for each in call.text("types", "public_channel").split(",")]
