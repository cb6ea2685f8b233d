"""What runs and what it uses."""

from __future__ import annotations

from collections.abc import Iterator

from doce.actions.account import Nothing
from doce.actions.registry import Call, action
from doce.projects.views import ProjectView
from doce.upkeep.monitor import MonitorView


@action("monitor.show", input=Nothing, output=MonitorView, role="member", method="GET", path="/api/monitor", words=("monitor",))
def monitor(call: Call, given: Nothing) -> MonitorView:
    """Show what runs and what it uses: every service of your projects, and doce itself."""
    return call.services.monitor.look(_projects(call))


def _projects(call: Call) -> Iterator[ProjectView]:
    before = None
    while True:
        page = call.services.projects.list(call.sees, limit=200, before=before)
        yield from page.items
        before = page.next
        if before is None:
            return
