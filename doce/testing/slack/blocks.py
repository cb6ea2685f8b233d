"""Whether Slack would take these blocks and this view: shapes and sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from doce.testing.slack import layout, limits
from doce.testing.slack.refusal import Refused

Raw = dict[str, Any]
PLAIN, MRKDWN = "plain_text", "mrkdwn"
TASK_STATES = ("pending", "in_progress", "complete", "error")
CHOICES = ("static_select", "multi_static_select", "radio_buttons", "checkboxes", "overflow")
#: How many options an element has, at least and at most.
OPTIONS = {"overflow": (2, 5), "radio_buttons": (1, 10), "checkboxes": (1, 10), "static_select": (1, 100), "multi_static_select": (1, 100)}
PICKERS = (
    "users_select", "conversations_select", "channels_select", "external_select", "multi_users_select", "multi_conversations_select",
    "multi_channels_select", "multi_external_select", "datepicker", "timepicker", "datetimepicker",
)  # fmt: skip
TYPED = ("plain_text_input", "email_text_input", "url_text_input", "number_input", "rich_text_input", "file_input")
ACTIONS = ("button", "feedback_buttons", "icon_button", "workflow_button", *CHOICES, *PICKERS)
#: Blocks whose inside is taken as it comes.
OPAQUE = ("rich_text", "divider", "file", "video", "call", "table", "alert", "card", "carousel", "container")


class Checker:
    """Walks blocks and notes what is wrong in `errors`, with the place as a JSON pointer."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.errors: list[str] = []
        self._block_ids: set[str] = set()
        self._checks: dict[str, Callable[[Raw, str], None]] = {
            "section": self._section, "header": self._header, "context": self._context, "actions": self._actions, "input": self._input,
            "image": self._image, "context_actions": self._context_actions, "markdown": self._markdown, "task_card": self._task_card,
            "plan": self._plan,
        }  # fmt: skip

    def wrong(self, what: str, path: str) -> None:
        self.errors.append(f"{what} [json-pointer:{path}]")

    def blocks(self, blocks: Any, path: str = "/blocks") -> None:
        if not isinstance(blocks, list):
            self.wrong("must provide an array", path)
            return
        if len(blocks) > self.most:
            self.wrong(f"no more than {self.most} items allowed", path)
        for number, block in enumerate(blocks):
            self.block(block, f"{path}/{number}")

    def block(self, block: Any, path: str) -> None:
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            self.wrong("must provide an object with a type", path)
            return
        if block_id := block.get("block_id"):
            self.string(block_id, f"{path}/block_id", 255)
            if str(block_id) in self._block_ids:
                self.wrong(f"`block_id` already exists: {block_id}", path)
            self._block_ids.add(str(block_id))
        kind = block["type"]
        if check := self._checks.get(kind):
            check(block, path)
        elif kind not in OPAQUE:
            self.wrong(f"unsupported type: {kind}", f"{path}/type")

    # Pieces

    def string(self, value: Any, path: str, most: int, least: int = 1) -> None:
        if not isinstance(value, str):
            self.wrong("must be a string", path)
        elif len(value) > most:
            self.wrong(f"must be less than {most + 1} characters", path)
        elif len(value) < least:
            self.wrong(f"must be more than {least - 1} characters", path)

    def text(self, value: Any, path: str, most: int, kinds: tuple[str, ...] = (PLAIN,), least: int = 1) -> None:
        if not isinstance(value, dict) or value.get("type") not in kinds:
            self.wrong(f"must be a text object of type {' or '.join(kinds)}", path)
            return
        self.string(value.get("text"), f"{path}/text", most, least)

    def option(self, value: Any, path: str, kinds: tuple[str, ...]) -> None:
        if not isinstance(value, dict):
            self.wrong("must provide an object", path)
            return
        self.text(value.get("text"), f"{path}/text", 75, kinds)
        self.string(value.get("value"), f"{path}/value", 150)
        if "description" in value:
            self.text(value["description"], f"{path}/description", 75, kinds)

    def confirm(self, value: Any, path: str) -> None:
        if not isinstance(value, dict):
            self.wrong("must provide an object", path)
            return
        for name, most in (("title", 100), ("text", 300), ("confirm", 30), ("deny", 30)):
            if name in value or name == "text":
                self.text(value.get(name), f"{path}/{name}", most, (PLAIN, MRKDWN) if name == "text" else (PLAIN,))

    def element(self, value: Any, path: str, allowed: tuple[str, ...]) -> None:
        if not isinstance(value, dict) or value.get("type") not in allowed:
            kind = value.get("type") if isinstance(value, dict) else value
            self.wrong(f"unsupported type: {kind}", f"{path}/type")
            return
        kind = value["type"]
        if "action_id" in value:
            self.string(value["action_id"], f"{path}/action_id", 255)
        if "confirm" in value:
            self.confirm(value["confirm"], f"{path}/confirm")
        if "placeholder" in value:
            self.text(value["placeholder"], f"{path}/placeholder", 150)
        if kind == "button":
            self._button(value, path)
        elif kind in CHOICES:
            self._choice(value, path)
        elif kind == "plain_text_input":
            self._typed(value, path)
        elif kind == "image":
            self._image(value, path)

    def _button(self, value: Raw, path: str) -> None:
        self.text(value.get("text"), f"{path}/text", 75)
        if "value" in value:
            self.string(value["value"], f"{path}/value", 2000, 0)
        if "url" in value:
            self.string(value["url"], f"{path}/url", 3000)
        if value.get("style") not in (None, "primary", "danger"):
            self.wrong("must be primary or danger", f"{path}/style")

    def _choice(self, value: Raw, path: str) -> None:
        least, most = OPTIONS[value["type"]]
        kinds = (PLAIN, MRKDWN) if value["type"] in ("radio_buttons", "checkboxes") else (PLAIN,)
        groups = value.get("option_groups")
        if isinstance(groups, list) and "options" not in value:
            whole = all(isinstance(group, dict) and isinstance(group.get("options"), list) for group in groups)
            if not 1 <= len(groups) <= 100 or not whole:
                self.wrong("must have 1 to 100 groups with options", f"{path}/option_groups")
                return
            options = [option for group in groups for option in group["options"]]
        else:
            given = value.get("options")
            options = given if isinstance(given, list) else []
            if len(options) < least:
                self.wrong(f"must have at least {least} options", f"{path}/options")
                return
            if len(options) > most:
                self.wrong(f"no more than {most} options allowed", f"{path}/options")
        for number, option in enumerate(options):
            self.option(option, f"{path}/options/{number}", kinds)
        for name in ("initial_option", "initial_options"):
            initial = value.get(name, [])
            for option in initial if isinstance(initial, list) else [initial]:
                if option not in options:
                    self.wrong(f"`{name}` must be among the options", f"{path}/{name}")

    def _typed(self, value: Raw, path: str) -> None:
        if "initial_value" in value:
            self.string(value["initial_value"], f"{path}/initial_value", 3000, 0)
        for name, least in (("min_length", 0), ("max_length", 1)):
            if name in value and not (isinstance(value[name], int) and least <= value[name] <= 3000):
                self.wrong(f"must be {least} to 3000", f"{path}/{name}")

    # Blocks, by their type

    def _section(self, block: Raw, path: str) -> None:
        fields = block.get("fields")
        if "text" not in block and not fields:
            self.wrong("must have `text` or `fields`", path)
        if "text" in block:
            self.text(block["text"], f"{path}/text", 3000, (PLAIN, MRKDWN))
        if isinstance(fields, list):
            if len(fields) > 10:
                self.wrong("no more than 10 items allowed", f"{path}/fields")
            for number, each in enumerate(fields):
                self.text(each, f"{path}/fields/{number}", 2000, (PLAIN, MRKDWN))
        if "accessory" in block:
            self.element(block["accessory"], f"{path}/accessory", (*ACTIONS, "image"))

    def _header(self, block: Raw, path: str) -> None:
        self.text(block.get("text"), f"{path}/text", 150)

    def _context(self, block: Raw, path: str) -> None:
        elements = self._elements(block, path, 10)
        for number, each in enumerate(elements):
            place = f"{path}/elements/{number}"
            if isinstance(each, dict) and each.get("type") == "image":
                self._image(each, place)
            else:
                self.text(each, place, 2000, (PLAIN, MRKDWN))

    def _actions(self, block: Raw, path: str) -> None:
        seen: set[str] = set()
        for number, each in enumerate(self._elements(block, path, 25)):
            self.element(each, f"{path}/elements/{number}", ACTIONS)
            action = each.get("action_id") if isinstance(each, dict) else None
            if action and action in seen:
                self.wrong(
                    f"`action_id` {action} already exists for a different element in this block", f"{path}/elements/{number}/action_id"
                )
            seen.add(str(action))

    def _context_actions(self, block: Raw, path: str) -> None:
        for number, each in enumerate(self._elements(block, path, 5)):
            self.element(each, f"{path}/elements/{number}", ("feedback_buttons", "icon_button"))

    def _elements(self, block: Raw, path: str, most: int) -> list[Any]:
        elements = block.get("elements")
        if not isinstance(elements, list) or not elements:
            self.wrong("must have at least 1 item", f"{path}/elements")
            return []
        if len(elements) > most:
            self.wrong(f"no more than {most} items allowed", f"{path}/elements")
        return elements

    def _input(self, block: Raw, path: str) -> None:
        self.text(block.get("label"), f"{path}/label", 2000)
        if "hint" in block:
            self.text(block["hint"], f"{path}/hint", 2000)
        allowed = tuple(kind for kind in (*TYPED, *CHOICES, *PICKERS) if kind != "overflow")
        self.element(block.get("element"), f"{path}/element", allowed)

    def _image(self, block: Raw, path: str) -> None:
        if not block.get("slack_file"):
            self.string(block.get("image_url"), f"{path}/image_url", 3000)
        self.string(block.get("alt_text"), f"{path}/alt_text", 2000)
        if "title" in block:
            self.text(block["title"], f"{path}/title", 2000)

    def _markdown(self, block: Raw, path: str) -> None:
        self.string(block.get("text"), f"{path}/text", limits.MARKDOWN)

    def _task_card(self, block: Raw, path: str) -> None:
        self.string(block.get("task_id"), f"{path}/task_id", 255)
        self.string(block.get("title"), f"{path}/title", limits.CHUNK_FIELD)
        if block.get("status", "pending") not in TASK_STATES:
            self.wrong(f"must be one of {', '.join(TASK_STATES)}", f"{path}/status")

    def _plan(self, block: Raw, path: str) -> None:
        self.string(block.get("title"), f"{path}/title", limits.CHUNK_FIELD)
        tasks = block.get("tasks", [])
        if not isinstance(tasks, list) or not all(isinstance(each, dict) for each in tasks):
            self.wrong("must provide an array of objects", f"{path}/tasks")
            return
        if len(tasks) > 50:
            self.wrong("no more than 50 items allowed", f"{path}/tasks")
        for number, task in enumerate(tasks):
            self._task_card(task, f"{path}/tasks/{number}")


def check_message(blocks: Any) -> None:
    """Raises Refused with `invalid_blocks` or `msg_blocks_too_long`."""
    checker = Checker(limits.BLOCKS)
    checker.blocks(blocks)
    if checker.errors:
        raise Refused("invalid_blocks", messages=checker.errors)
    if sum(map(len, layout.texts(blocks))) > limits.ALL_BLOCKS:
        raise Refused("msg_blocks_too_long")


def check_view(view: Any, kind: str) -> None:
    """A modal or an App Home (`kind`). Raises Refused with `invalid_arguments`."""
    checker = Checker(limits.VIEW_BLOCKS)
    if not isinstance(view, dict) or view.get("type") != kind:
        raise Refused("invalid_arguments", messages=[f"must be a view of type {kind} [json-pointer:/view/type]"])
    if kind == "modal":
        checker.text(view.get("title"), "/view/title", 24)
        for name in ("submit", "close"):
            if name in view:
                checker.text(view[name], f"/view/{name}", 24)
        blocks = view.get("blocks")
        if (
            isinstance(blocks, list)
            and "submit" not in view
            and any(isinstance(each, dict) and each.get("type") == "input" for each in blocks)
        ):
            checker.wrong("a modal with inputs must have `submit`", "/view/submit")
    checker.blocks(view.get("blocks"), "/view/blocks")
    for name, most in (("private_metadata", 3000), ("callback_id", 255), ("external_id", 255)):
        if name in view:
            checker.string(view[name], f"/view/{name}", most, 0)
    if checker.errors:
        raise Refused("invalid_arguments", messages=checker.errors)
