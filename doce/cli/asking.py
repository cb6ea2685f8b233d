"""The agent asks: the person at the terminal answers, a pipe learns how to."""

from __future__ import annotations

import shlex

import click

from doce.cli.printable import one_line
from doce.cli.screen import Screen
from doce.cli.watch import Request
from doce.client import Doce
from doce.errors import Conflict, NotFound
from doce.events.vocabulary import PermissionRequested, QuestionItem, QuestionRequested

REPLIES = ("once", "always", "reject")


class Asking:
    """Answers requests of one project."""

    def __init__(self, doce: Doce, project: str, screen: Screen) -> None:
        self._doce, self._project, self._screen = doce, project, screen

    def __call__(self, request: Request) -> None:
        """Ask the person and send the answer; somebody may have been faster."""
        if not self._screen.interactive:
            self._screen.line(f"  answer it with: {self.how(request)}")
            return
        try:
            if isinstance(request, PermissionRequested):
                reply = click.prompt("  may it", type=click.Choice(REPLIES))
                self._doce.answer_permission(self._project, request.request_id, reply)
            else:
                self._doce.answer_question(self._project, request.request_id, [self._answer(item) for item in request.questions])
        except (Conflict, NotFound) as late:
            self._screen.line(f"  {late.message}", "yellow")

    def how(self, request: Request) -> str:
        """The command that answers `request`."""
        if isinstance(request, QuestionRequested):
            words = ["doce", "questions", "answer", self._project, request.request_id]
            for item in request.questions:
                words += ["--answers", one_line(item.options[0].label) if item.options else "…"]
            return shlex.join(words)
        return f"{shlex.join(['doce', 'answer', self._project, request.request_id])} {'|'.join(REPLIES)}"

    def _answer(self, item: QuestionItem) -> list[str]:
        """The labels a person means: their numbers, or own words."""
        kind = "numbers, as in 1,3" if item.multiple else "a number" if item.options else "your words"
        text = str(click.prompt(f"  {kind}{' or your own words' if item.options and item.custom else ''}")).strip()
        parts = text.split(",") if item.multiple else [text]
        return [_label(item, part.strip()) for part in parts if part.strip()]


def _label(item: QuestionItem, text: str) -> str:
    if text.isascii() and text.isdigit() and 1 <= int(text) <= len(item.options):
        return item.options[int(text) - 1].label
    return text
