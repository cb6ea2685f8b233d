"""doce status: one project, or everything that runs and what it uses."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from doce.actions import render
from doce.actions.catalog import actions
from doce.cli import tables
from doce.cli.fields import complete_project
from doce.cli.printable import printable
from doce.cli.screen import put_json
from doce.client import Call, Doce
from doce.client.calls import at
from doce.upkeep.monitor import MonitorView

HELP = "Show what a project is doing; without one, everything that runs and what it uses."
EPILOG = "\b\nExamples:\n  doce status\n  doce status --watch\n  doce status ceramic --json"


@click.command("status", help=HELP, short_help=HELP, epilog=EPILOG)
@click.argument("project", required=False, shell_complete=complete_project)
@click.option("-w", "--watch", is_flag=True, help="Look again and again, until Ctrl-C.")
@click.option("--every", type=click.FloatRange(0.2, 3600), default=2.0, show_default=True, help="Seconds between two looks of --watch.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --watch a line for each look.")
def status(project: str | None, watch: bool, every: float, as_json: bool) -> int:
    with Doce() as doce:

        def look() -> Any:
            return doce.send(Call("GET", at("/api/projects/{project}", project=project) if project else "/api/monitor"))

        if watch:
            _again_and_again(look, project, every, as_json)
        elif as_json:
            put_json(look())
        else:
            _show(look(), project)
    return 0


def _show(answer: Any, project: str | None) -> None:
    if not project and sys.stdout.isatty():
        Console(highlight=False).print(_drawn(answer))
    else:
        print(_words(answer, project))


def _words(answer: Any, project: str | None) -> str:
    name = "projects.get" if project else "monitor.show"
    return printable(render.plain(name, actions()[name].output.model_validate(answer)))


def _drawn(answer: Any) -> Group:
    found = MonitorView.model_validate(answer)
    head = Text(printable(render.doce_line(found)), "dim")
    parts: list[Any] = [head, *([Text(printable(found.problem), "red")] if found.problem else []), tables.monitor(found)]
    return Group(*parts)


def _again_and_again(look: Callable[[], Any], project: str | None, every: float, as_json: bool) -> None:
    """On a terminal in place, else one look after the other."""
    try:
        if project or as_json or not sys.stdout.isatty():
            while True:
                answer = look()
                if as_json:
                    put_json(answer)
                else:
                    print(_words(answer, project), flush=True)
                time.sleep(every)
        with Live(_drawn(look()), console=Console(highlight=False), auto_refresh=False, screen=True) as live:
            while True:
                time.sleep(every)
                live.update(_drawn(look()), refresh=True)
    except KeyboardInterrupt:
        return
