"""Walking through blocks: their words, what can be acted on, and the ids that Slack gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Raw = dict[str, Any]


def texts(value: Any) -> Iterator[str]:
    """All words a reader sees in blocks, in their order."""
    if isinstance(value, list):
        for each in value:
            yield from texts(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            if name in ("text", "alt_text", "title", "details", "output", "label") and isinstance(each, str):
                yield each
            elif name not in ("value", "confirm", "placeholder", "options", "option_groups") and isinstance(each, dict | list):
                yield from texts(each)


def named(blocks: list[Raw], new_id: Callable[[str], str]) -> list[Raw]:
    """The blocks with an id for each block and each thing that can be acted on, as Slack gives them."""
    found = []
    for block in blocks:
        made = dict(block)
        made.setdefault("block_id", new_id("b"))
        for name in ("accessory", "element"):
            if isinstance(made.get(name), dict) and made[name].get("type") != "image":
                made[name] = {"action_id": new_id("a"), **made[name]}
        if made["type"] == "actions":
            made["elements"] = [{"action_id": new_id("a"), **element} for element in made["elements"]]
        found.append(made)
    return found


def elements(blocks: list[Raw]) -> Iterator[tuple[Raw, Raw]]:
    """What can be acted on, each with its block."""
    for block in blocks:
        if block["type"] == "section" and "accessory" in block:
            yield block, block["accessory"]
        elif block["type"] == "input":
            yield block, block["element"]
        elif block["type"] in ("actions", "context_actions"):
            for element in block.get("elements", []):
                yield block, element
