"""Lists on a terminal."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from doce.actions.jobs import JobView
from doce.actions.render import memory_size
from doce.cli.printable import one_line
from doce.projects.views import Page, ProjectView
from doce.upkeep.monitor import MonitorView

_STYLES = {
    "running": "green", "succeeded": "green", "error": "red", "failed": "red", "starting": "yellow", "created": "yellow",
    "queued": "yellow", "stopped": "dim", "cancelled": "dim",
}  # fmt: skip


def table(answer: BaseModel) -> bool:
    """Print `answer` as a table; False when it is no list that has one."""
    if not isinstance(answer, Page) or not answer.items:
        return False
    if isinstance(answer.items[0], ProjectView):
        drawn = _projects(answer.items)
    elif isinstance(answer.items[0], JobView):
        drawn = _jobs(answer.items)
    else:
        return False
    console = Console(highlight=False)
    console.print(drawn)
    if answer.next:
        console.print(Text(f"There are more: --before {answer.next}", "dim"))
    return True


def _projects(items: list[ProjectView]) -> Table:
    drawn = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("project", "state", "what", "preview", "made"):
        drawn.add_column(heading, overflow="fold")
    for one in items:
        what = one.error or one.step or ("agent working" if one.agent == "working" else "")
        drawn.add_row(
            Text(one.slug, "bold"),
            _state(one.status.value),
            Text(one_line(what, 60)),
            Text(one.preview_url or ""),
            Text(_when(one.created_at)),
        )
    return drawn


def _jobs(items: list[JobView]) -> Table:
    drawn = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("job", "type", "state", "attempt", "made", "error"):
        drawn.add_column(heading, overflow="fold")
    for one in items:
        attempt = f"{one.attempts}/{one.max_attempts}"
        drawn.add_row(
            Text(str(one.id)), Text(one.type), _state(one.state.value), Text(attempt), Text(_when(one.created_at)),
            Text(one_line(one.last_error or "", 80)),
        )  # fmt: skip
    return drawn


def monitor(found: MonitorView) -> Table:
    """Every service of every project, a line each."""
    drawn = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("project", "state", "service", "", "cpu", "memory", "port", "restarts", "watching"):
        drawn.add_column(heading, overflow="fold", justify="left" if heading in ("project", "state", "service", "") else "right")
    for project in found.projects:
        about = (Text(project.slug, "bold"), _state(project.status.value))
        watching = Text(str(project.viewers or ""))
        if not project.services:
            drawn.add_row(*about, Text(one_line(project.error or project.step or "", 60)), "", "", "", "", "", watching)
        for place, service in enumerate(project.services):
            code = f" ({service.exit_code})" if service.exit_code else ""
            drawn.add_row(
                *(about if place == 0 else ("", "")), Text(service.service), _state(f"{service.state}{code}"),
                "" if service.cpu is None else f"{service.cpu:.0f} %", "" if service.memory is None else memory_size(service.memory),
                str(service.port or ""), str(service.restarts or ""), watching if place == 0 else "",
            )  # fmt: skip
    return drawn


def _state(state: str) -> Text:
    return Text(state, _STYLES.get(state, ""))


def _when(ms: int) -> str:
    """The person's own clock."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC).astimezone():%d %b %H:%M}"
