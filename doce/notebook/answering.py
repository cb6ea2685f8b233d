"""What `%doce` shows of an answer: a table or a live panel where a notebook has one, the door's own words else."""

from __future__ import annotations

import html
import re
import threading
from collections.abc import Mapping
from typing import Any

from IPython.display import display

from doce.client import Doce
from doce.errors import DoceError
from doce.events.vocabulary import ProductionStatus
from doce.notebook.api import Jobs, Production, Projects
from doce.notebook.background import another
from doce.notebook.panel import Panel, deploying, opened
from doce.notebook.show import link
from doce.opencode.turn import Turn

_URL = re.compile(r"https?://[^\s<>\"']+")


class Said:
    """An answer in words: text, whose addresses can be followed."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        parts, end = [], 0
        for found in _URL.finditer(self.text):
            parts += [html.escape(self.text[end : found.start()]), link(found[0])]
            end = found.end()
        return f'<div style="white-space:pre-wrap;font-family:monospace">{"".join(parts)}{html.escape(self.text[end:])}</div>'


def show(doce: Doce, action: str, text: str, data: Any) -> None:
    """Display what `action` answered; `text` says it in the words of every door."""
    if action == "projects.create":
        Panel(data, Turn()).show()
    elif action == "prompts.add":
        opened(doce, doce.project(data["projectId"]), data).show()
    elif action == "projects.list":
        display(Projects(data["items"]))
    elif action == "jobs.list":
        display(Jobs(data["items"]))
    elif action.startswith("productions."):
        _deployment(data, text)
    else:
        display(Said(text))


def _deployment(view: Mapping[str, Any], text: str) -> None:
    """A deployment as a table; one under way is followed to its end, in a thread."""
    if not view["activeJob"]:
        display(Production(view))
        return
    shown = display(Said(text), display_id=True)

    def tell(status: ProductionStatus) -> None:
        live = f" · {status.url}" if status.url else ""
        shown.update(Said(f"{status.step or status.status}{live}{f' · {status.error}' if status.error else ''}"))

    def follow() -> None:
        try:
            with another() as doce:
                deploying(doce, view["projectId"], view, tell)
                shown.update(Production(doce.production(view["projectId"])))
        except DoceError as error:
            shown.update(Said(str(error)))

    threading.Thread(target=follow, name="doce-panel-deploy", daemon=True).start()
