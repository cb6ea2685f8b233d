"""What an agent asks, as widgets: a permission with three buttons, a question with choices and room for own words."""

from __future__ import annotations

import html
from collections.abc import Callable

import ipywidgets as widgets

from doce.events.vocabulary import PermissionRequested, QuestionItem, QuestionRequested

REPLIES = {"Allow once": ("once", "primary"), "Always in this project": ("always", ""), "Deny": ("reject", "danger")}


def permission(asked: PermissionRequested, answer: Callable[[str], None]) -> widgets.Widget:
    """`answer` gets ``once``, ``always`` or ``reject``."""
    patterns = " ".join(asked.patterns)
    text = widgets.HTML(
        f"<b>The agent asks whether it may:</b> {html.escape(asked.permission)} <code>{html.escape(patterns or asked.title)}</code>"
    )
    buttons = []
    for label, (reply, style) in REPLIES.items():
        button = widgets.Button(description=label, button_style=style, layout=widgets.Layout(width="auto"))
        button.on_click(lambda _button, reply=reply: answer(reply))
        buttons.append(button)
    return _framed(text, widgets.HBox(buttons, layout=widgets.Layout(flex_flow="row wrap")))


def question(asked: QuestionRequested, answer: Callable[[list[list[str]] | None], None]) -> widgets.Widget:
    """`answer` gets for each item the labels that were chosen or own words; None refuses."""
    items = [_Item(one) for one in asked.questions]
    send = widgets.Button(description="Answer", button_style="primary", layout=widgets.Layout(width="auto"))
    refuse = widgets.Button(description="Don't answer", layout=widgets.Layout(width="auto"))
    missing = widgets.HTML()

    def sent(_button: widgets.Button) -> None:
        chosen = [item.chosen() for item in items]
        missing.value = "" if all(chosen) else "<i>Choose an answer, or write your own.</i>"
        if all(chosen):
            answer(chosen)

    send.on_click(sent)
    refuse.on_click(lambda _button: answer(None))
    return _framed(*(row for item in items for row in item.rows), widgets.HBox([send, refuse, missing]))


class _Item:
    """One question: its widgets, and what is chosen in them."""

    def __init__(self, item: QuestionItem) -> None:
        labels = [option.label for option in item.options]
        self._boxes = [widgets.Checkbox(description=label, indent=False) for label in labels] if item.multiple else []
        self._radio = widgets.RadioButtons(options=labels, value=None) if labels and not item.multiple else None
        self._own = widgets.Text(placeholder="or in your own words" if labels else "your answer") if item.custom or not labels else None
        told = [
            f"<br><small>{html.escape(option.label)}: {html.escape(option.description)}</small>"
            for option in item.options
            if option.description
        ]
        head = widgets.HTML(f'<div style="line-height:1.5"><b>{html.escape(item.question)}</b>{"".join(told)}</div>')
        self.rows = [head, *self._boxes, *(one for one in (self._radio, self._own) if one is not None)]

    def chosen(self) -> list[str]:
        picked = [box.description for box in self._boxes if box.value]
        if self._radio is not None and self._radio.value:
            picked.append(self._radio.value)
        own = self._own.value.strip() if self._own is not None else ""
        # Own words beside one choice are the answer: more than one is only for questions that take several.
        return [own] if own and not self._boxes else [*picked, *([own] if own else [])]


def _framed(*rows: widgets.Widget) -> widgets.Widget:
    return widgets.VBox(list(rows), layout=widgets.Layout(border="1px solid #b26a00", padding="6px 10px", margin="4px 0"))
