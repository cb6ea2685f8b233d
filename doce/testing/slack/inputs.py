"""What stands in the fields of a view or a message: as it was opened, and as somebody filled it in."""

from __future__ import annotations

from typing import Any

from doce.testing.slack.layout import elements
from doce.testing.slack.refusal import Impossible

Raw = dict[str, Any]

CHOSEN = {
    "static_select": "selected_option", "radio_buttons": "selected_option", "external_select": "selected_option",
    "users_select": "selected_user",
    "conversations_select": "selected_conversation", "channels_select": "selected_channel", "datepicker": "selected_date",
    "timepicker": "selected_time",
}  # fmt: skip
MANY = {
    "checkboxes": "selected_options", "multi_static_select": "selected_options", "multi_external_select": "selected_options",
    "multi_users_select": "selected_users", "multi_conversations_select": "selected_conversations",
    "multi_channels_select": "selected_channels",
}  # fmt: skip
INITIAL = {
    "selected_option": "initial_option", "selected_options": "initial_options", "selected_user": "initial_user",
    "selected_users": "initial_users",
    "selected_conversation": "initial_conversation", "selected_conversations": "initial_conversations",
    "selected_channel": "initial_channel",
    "selected_channels": "initial_channels", "selected_date": "initial_date", "selected_time": "initial_time",
}  # fmt: skip


def initial(blocks: list[Raw]) -> dict[str, dict[str, Raw]]:
    """The state in which a view opens, by block id and action id. Buttons and menus of actions have none."""
    found: dict[str, dict[str, Raw]] = {}
    for block, element in elements(blocks):
        kind = element["type"]
        if kind in CHOSEN or kind in MANY:
            name = CHOSEN.get(kind) or MANY[kind]
            value: Any = element.get(INITIAL[name], [] if kind in MANY else None)
            found.setdefault(block["block_id"], {})[element["action_id"]] = {"type": kind, name: value}
        elif kind.endswith("_input") and block["type"] == "input":
            found.setdefault(block["block_id"], {})[element["action_id"]] = {"type": kind, "value": element.get("initial_value")}
    return found


def filled(element: Raw, value: Any) -> Raw:
    """The state of an element into which somebody put `value`: text, the value of an option, or several.

    Raises Impossible when it cannot hold that.
    """
    kind = element["type"]
    if kind in MANY:
        values = [value] if isinstance(value, str) else list(value)
        picked = [option(element, each) for each in values] if MANY[kind] == "selected_options" else values
        return {"type": kind, MANY[kind]: picked}
    if kind in CHOSEN:
        return {"type": kind, CHOSEN[kind]: option(element, value) if CHOSEN[kind] == "selected_option" else value}
    longest = element.get("max_length", 3000)
    if kind == "plain_text_input" and len(value) > longest:
        raise Impossible(f"the field takes {longest} characters, this has {len(value)}")
    return {"type": kind, "value": value or None}


def option(element: Raw, value: Any) -> Raw:
    """An option of a menu by its value or its words. Raises Impossible."""
    groups = element.get("option_groups") or [{"options": element.get("options", [])}]
    options = [each for group in groups for each in group["options"]]
    for each in options:
        if value in (each["value"], each["text"]["text"], each):
            return dict(each)
    raise Impossible(f"there is no option {value!r}; there are {', '.join(each['value'] for each in options)}")


def empty(state: Raw) -> bool:
    """Whether nothing was filled in."""
    return not any(value for name, value in state.items() if name != "type")
