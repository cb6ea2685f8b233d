"""Looking closer: what a project has used, the end of its log, and how this doce is."""

from __future__ import annotations

import shutil
from typing import Any, Literal

from pydantic import Field

from doce import __version__
from doce.actions.account import Nothing
from doce.actions.projects import OfProject
from doce.actions.registry import Call, Input, action, find_project
from doce.db.choices import current
from doce.events import log as events
from doce.llm import spent
from doce.llm.spent import By, Spent
from doce.projects.views import Page, View
from doce.queue import jobs
from doce.stacks.logs import LogFile


class SpentView(View):
    """A sum. `of`: the model, day (UTC), prompt, project or user; none where it is the whole, or what no prompt asked for."""

    of: str | None
    calls: int
    #: tokens
    input: int
    output: int
    cached: int
    #: US dollars
    cost: float
    #: a provider did not say, so doce counted
    estimated: bool


class ProjectUsage(View):
    """What a project has used; each list has the latest 100, latest first."""

    total: SpentView
    models: list[SpentView]
    days: list[SpentView]
    prompts: list[SpentView]


class UsageListing(Input):
    by: By = Field("day", description="What is summed up: day, project, user, model or prompt.")
    project: str | None = Field(None, max_length=100, description="Only of this project.")
    since: int | None = Field(None, ge=0, le=2**53, description="Only from this time on, epoch ms.")
    until: int | None = Field(None, ge=0, le=2**53, description="Only before this time, epoch ms.")
    limit: int = Field(100, ge=1, le=1000, description="How many.")
    before: int | None = Field(None, ge=1, le=2**53, description="Cursor: `next` of the page before.")


class EventListing(OfProject):
    after: int = Field(0, ge=0, le=2**53, description="Cursor: `next` of the page before, or the `seq` of the last event you have.")
    limit: int = Field(200, ge=1, le=1000, description="How many.")


class EventView(View):
    """Something that happened, as the stream tells it. `time` is epoch ms."""

    seq: int
    type: str
    project_id: str | None
    session_id: str | None = None
    prompt_id: str | None = None
    time: int
    payload: dict[str, Any]


class Tail(OfProject):
    limit: int = Field(50, ge=1, le=1000, description="How many lines.")
    source: Literal["host", "docker", "app"] | None = Field(None, description="Only lines of host, docker or app.")


class LogTail(View):
    """The last lines of a project's log."""

    text: str
    #: from here on the stream goes on, bytes
    next_offset: int


class Condition(View):
    """How this doce is. `problems` are sentences; with none it is well."""

    ok: bool
    version: str
    problems: list[str]
    runtime: str
    #: bytes
    database_size: int
    #: number of the last event
    last_event: int
    #: open event streams of this process
    viewers: int
    #: MiB
    free_disk: int
    jobs: dict[str, int]
    paused: bool


@action(
    "projects.usage", input=OfProject, output=ProjectUsage, role="viewer", method="GET", path="/api/projects/{project}/usage",
    words=("usage",), positional=("project",), examples=("usage ceramic-portfolio",),
)  # fmt: skip
def usage(call: Call, given: OfProject) -> ProjectUsage:
    """Show the tokens and the money a project has used."""
    project = call.project.id
    return ProjectUsage(
        total=_view(spent.total(project)),
        models=[_view(one) for one in spent.by("model", project)],
        days=[_view(one) for one in spent.by("day", project)],
        prompts=[_view(one) for one in spent.by("prompt", project)],
    )


@action("account.usage", input=UsageListing, output=Page[SpentView], role="member", method="GET", path="/api/usage")
def list_usage(call: Call, given: UsageListing) -> Page[SpentView]:
    """Sum up tokens and money: of your projects and prompts, or of everybody's for an admin."""
    project = find_project(call.services, call.user, given.project).id if given.project else None
    mine = None if call.user.is_admin else (call.user.id, call.services.projects.ids_of(call.user.id))
    found = spent.page(
        given.by, project_id=project, mine=mine, since=given.since, until=given.until, limit=given.limit + 1, before=given.before
    )
    following = str(found[given.limit - 1][0]) if len(found) > given.limit else None
    return Page(items=[_view(one) for _, one in found[: given.limit]], next=following)


@action("projects.events", input=EventListing, output=Page[EventView], role="viewer", method="GET", path="/api/projects/{project}/events")
def list_events(call: Call, given: EventListing) -> Page[EventView]:
    """List what happened in a project, oldest first; `opencode/event` streams the same."""
    found = events.after(call.project.id, given.after, given.limit + 1)
    items = [EventView.model_validate(event.envelope()) for event in found[: given.limit]]
    return Page(items=items, next=str(items[-1].seq) if len(found) > given.limit else None)


def _view(found: Spent) -> SpentView:
    return SpentView(
        of=found.of or None, calls=found.calls, input=found.input, output=found.output, cached=found.cached, cost=found.cost,
        estimated=found.estimated,
    )  # fmt: skip


@action(
    "logs.tail", input=Tail, output=LogTail, role="viewer", method="GET", path="/api/projects/{project}/logs/tail",
    words=("logs",), positional=("project",), examples=("logs ceramic-portfolio -n 20",),
)  # fmt: skip
def tail(call: Call, given: Tail) -> LogTail:
    """Show the last lines of a project's log."""
    chunk = LogFile(call.services.projects.log_file(call.project.id)).read()
    lines = chunk.text.splitlines()
    if given.source:
        lines = [line for line in lines if line.startswith(f"[{given.source}] ")]
    return LogTail(text="\n".join(lines[-given.limit :]), next_offset=chunk.next_offset)


@action("health.details", input=Nothing, output=Condition, role="member", method="GET", path="/api/health/details")
def condition(call: Call, given: Nothing) -> Condition:
    """Say how this doce is: queue, disk, streams, and what is wrong."""
    settings = call.services.settings
    free, needed = shutil.disk_usage(settings.data).free // (1024 * 1024), current(settings, "min_free_mb")
    counts, paused = jobs.counts(), jobs.paused()
    problems = [
        *([f"The disk is almost full: {free} MiB are free, {needed} are needed."] if free < needed else []),
        *(["The queue is paused: no job begins."] if paused else []),
    ]
    return Condition(
        ok=not problems, version=__version__, problems=problems, runtime=settings.runtime or "process",
        database_size=settings.database.stat().st_size, last_event=events.head(), viewers=call.services.feed.readers, free_disk=free,
        jobs={state.value: count for state, count in counts.items()}, paused=paused,
    )  # fmt: skip
