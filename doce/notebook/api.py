"""The Python API: projects as objects, over HTTP, also outside of notebooks.

    site = doce.create("a portfolio for a ceramicist")        # answers at once
    site.wait()                                                # the first turn; a Turn
    for event in site.chat("make it dark"): ...                # events of one turn, to its end
    async for event in site.chat("make it light"): ...         # the same in a coroutine
    site.deploy(); site.preview_url; site.rollback("v1")

Every call raises the errors of `doce.errors` with doce's own sentence: NotFound, Conflict, BadRequest, Unavailable … JSON answers are
dictionaries as the API sends them (camelCase, times in epoch ms); `/api/openapi.json` has their shapes.
"""

from __future__ import annotations

import builtins
import contextlib
import html
from collections.abc import AsyncGenerator, Generator
from typing import Any

from doce.client import AsyncDoce, Event
from doce.errors import NotFound, Unavailable
from doce.notebook import show
from doce.notebook.background import another, connect
from doce.opencode.turn import Turn, read

Wire = dict[str, Any]


def create(prompt: str, *, name: str | None = None, template: str | None = None, model: str | None = None) -> Project:
    """A new project from a sentence of 1-32,000 characters; the work goes on by itself. Raises BadRequest, Unavailable."""
    made = connect().create(prompt, name=name, template=template, model=model)
    return Project(made, Turn())


def open(project: str) -> Project:
    """A project by its slug, id, name or the beginning of it. Raises NotFound, Conflict when several begin so."""
    return Project(connect().project(project))


def projects() -> Projects:
    """Your projects, newest first."""
    return Projects(_pages(lambda before: connect().projects(limit=100, before=before)))


def jobs(project: str | None = None, *, limit: int = 100) -> Jobs:
    """The latest jobs of the queue."""
    return Jobs(connect().jobs(project=project, limit=limit)["items"])


def usage(by: str = "day", project: str | None = None) -> Usage:
    """Tokens and dollars by ``day``, ``project``, ``user``, ``model`` or ``prompt``."""
    return Usage(_pages(lambda before: connect().usage(by=by, project=project, limit=100, before=int(before) if before else None)), by)


class Events:
    """What happened in a project after an event, and what happens: each once and in order, also over a restart of doce.

    Read with ``for`` or ``async for``. Raises Unavailable when doce is away for a minute.
    """

    def __init__(self, project_id: str, after: int = 0, follow: bool = True) -> None:
        self.project_id = project_id
        self.after = after
        self.follow = follow

    def __iter__(self) -> Generator[Event]:
        with another() as doce, contextlib.closing(doce.events(self.project_id, after=self.after, follow=self.follow)) as events:
            yield from events

    async def __aiter__(self) -> AsyncGenerator[Event]:
        async with (
            AsyncDoce(address=connect().address) as doce,
            contextlib.aclosing(doce.events(self.project_id, after=self.after, follow=self.follow)) as events,
        ):
            async for event in events:
                yield event


class Chat(Events):
    """One prompt and its events, which end with its turn. `turn` has what it came to so far: state, answer, tokens, cost …"""

    def __init__(self, project_id: str, prompt: Wire) -> None:
        super().__init__(project_id, after=prompt["seq"] - 1)
        #: as the API answered it: id, state, seq …
        self.prompt = prompt
        self.turn = Turn(prompt["id"])

    def __iter__(self) -> Generator[Event]:
        with contextlib.closing(super().__iter__()) as events:
            yield from read(events, self.turn)

    async def __aiter__(self) -> AsyncGenerator[Event]:
        async with contextlib.aclosing(super().__aiter__()) as events:
            async for event in events:
                self.turn.take(event)
                yield event
                if self.turn.over:
                    return

    def wait(self) -> Turn:
        """To the end of the turn."""
        for _ in self:
            pass
        return self.turn


class Project:
    """One project. In a notebook its last expression shows it: state, links, what was deployed."""

    def __init__(self, wire: Wire, first: Turn | None = None) -> None:
        self.id: str = wire["id"]
        self.slug: str = wire["slug"]
        self._wire = wire
        self._first = first

    @property
    def info(self) -> Wire:
        """The project as it is now: ``{id, slug, name, status, step, error, errorHint, previewUrl, model, agent, usage …}``."""
        self._wire = connect().project(self.id)
        return self._wire

    @property
    def name(self) -> str:
        return str(self._wire["name"])

    @property
    def status(self) -> str:
        """created, starting, running, stopping, stopped, error, deleting"""
        return str(self.info["status"])

    @property
    def preview_url(self) -> str | None:
        """Where the live preview is, while it runs."""
        url = self.info["previewUrl"]
        return str(url) if url else None

    def chat(self, text: str, *, model: str | None = None) -> Chat:
        """Ask the agent; it is asked at once, also when nobody reads the events."""
        return Chat(self.id, connect().chat(self.id, text, model=model))

    def events(self, after: int = 0, follow: bool = True) -> Events:
        """What happened after event `after`, and with `follow` what happens, until the project is deleted; ``for`` or ``async for``."""
        return Events(self.id, after, follow)

    def wait(self) -> Turn:
        """To the end of the first turn of a new project, or of the last one. Raises NotFound when there is none."""
        turn = self._first or Turn()
        after = 0
        if self._first is None:
            prompts = connect().prompts(self.id, limit=1)["items"]
            if not prompts:
                raise NotFound("This project has no turn to wait for.")
            turn, after = Turn(prompts[0]["id"]), prompts[0]["seq"] - 1
        with another() as doce, contextlib.closing(doce.events(self.id, after=after)) as events:
            for _ in read(events, turn):
                pass
        return turn

    def stop(self) -> Wire:
        """Stop the turn; what was done stays. With no turn, the project. ``{stopped, message}``. Raises Conflict when nothing runs."""
        return connect().stop(self.id)

    def start(self) -> Wire:
        """Start its services, or try again what failed."""
        return connect().start(self.id)

    def delete(self) -> Wire:
        """Delete it with everything it has."""
        return connect().delete(self.id)

    def answer(self, request: str, reply: str) -> Wire:
        """Answer a permission: ``once``, ``always`` or ``reject``; the first answer wins."""
        return connect().answer_permission(self.id, request, reply)

    def answer_question(self, request: str, *answers: builtins.list[str]) -> Wire:
        """For each item the labels chosen, or own words."""
        return connect().answer_question(self.id, request, answers)

    def deploy(self, wait: bool = True) -> Production:
        """Build it and put it online; with `wait` until that is live. Raises Unavailable with the reason when it fails."""
        return self._settled(connect().deploy(self.id), wait)

    def rollback(self, version: str | None = None, wait: bool = True) -> Production:
        """The version before, or a named one."""
        return self._settled(connect().rollback(self.id, version), wait)

    @property
    def production(self) -> Production:
        """What is deployed, and the versions there are."""
        return Production(connect().production(self.id))

    @property
    def usage(self) -> Usage:
        """Tokens and dollars of this project by day."""
        return usage("day", self.id)

    def logs(self, limit: int = 50) -> str:
        """The last lines of its services."""
        return str(connect().request("GET", f"/api/projects/{self.id}/logs/tail", query={"limit": limit})["text"])

    def files(self, path: str = "") -> builtins.list[Wire]:
        """One folder of it: ``[{name, path, kind: file or folder, size}]``. Raises NotFound."""
        found: builtins.list[Wire] = connect().files(self.id, path)["items"]
        return found

    def file(self, path: str) -> str:
        """A text file. Raises NotFound."""
        return str(connect().file(self.id, path)["text"])

    def _settled(self, view: Wire, wait: bool) -> Production:
        if not wait:
            return Production(view)
        with another() as doce, contextlib.closing(doce.events(self.id, after=view["seq"])) as events:
            for event in events:
                if event.type != "production.status":
                    continue
                if event.payload["status"] == "failed":
                    raise Unavailable(str(event.payload.get("error") or "The deploy failed."), hint="What was live stays so.")
                if event.payload["status"] == "running" and not event.payload.get("step"):
                    break
        return self.production

    def __repr__(self) -> str:
        return f"<doce project {self.slug}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        found, production = self.info, self.production
        return {
            "text/plain": repr(self),
            "text/html": show.project(found, production),
            "text/markdown": show.project_markdown(found, production),
        }


class Production(Wire):
    """A deployment: ``{status, url, version, hash, error, step, activeJob, startedAt, releases: [{version, hash, files, size,
    createdAt, current …}]}``; `url` and `version` tell what is live, whatever `status` says of the pipeline. A table in a notebook."""

    def _repr_html_(self) -> str:
        rows = [{**one, "live": "●" if one["current"] and self["url"] else ""} for one in self["releases"]]
        url = html.escape(str(self["url"] or ""))
        head = (
            f'<p>{html.escape(str(self["status"]))} · <a href="{url}" target="_blank" rel="noopener">{url}</a></p>' if self["url"] else ""
        )
        return head + show.table(rows, ("version", "live", "hash", "files", "size", "createdAt"))


class _Rows(list[Wire]):
    columns: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        return show.table(self, self.columns)


class Projects(_Rows):
    """Projects, newest first, each as `Project.info`; a table in a notebook."""

    columns = ("name", "slug", "status", "previewUrl", "createdAt")


class Jobs(_Rows):
    """Jobs, newest first: ``{id, type, state, projectId, attempts, lastError, createdAt, startedAt, finishedAt …}``; shown as a table."""

    columns = ("id", "type", "state", "attempts", "createdAt", "finishedAt", "lastError")


class Usage(_Rows):
    """Sums ``{of, calls, input, output, cached, cost, estimated}``; a table and a small plot in a notebook."""

    columns = ("of", "calls", "input", "output", "cost")

    def __init__(self, rows: builtins.list[Wire], by: str) -> None:
        super().__init__(rows)
        self.by = by

    def _repr_html_(self) -> str:
        plot = show.bars([(str(one["of"] or "–"), one["input"] + one["output"]) for one in self], "tokens") if self.by == "day" else ""
        return show.table(self, self.columns) + plot


def _pages(page: Any) -> builtins.list[Wire]:
    found: builtins.list[Wire] = []
    before: str | None = None
    while True:
        answer = page(before)
        found += answer["items"]
        if not (before := answer["next"]):
            return found
