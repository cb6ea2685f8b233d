"""The pages. Each shows its first state through the same actions the API has; what changes later comes over the API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from doce import addresses
from doce.actions.catalog import actions
from doce.actions.registry import Input, perform, understand
from doce.actions.services import Services
from doce.auth.users import Person
from doce.errors import DoceError
from doce.logger import log_context
from doce.projects.status import PromptState
from doce.projects.views import PromptView
from doce.queue.types import JobState, JobType
from doce.web.answers import unexpected
from doce.web.pages.errors import problem
from doce.web.pages.local import HOME, onward, sign_in_url
from doce.web.pages.render import Renderer
from doce.web.pages.static import StaticFiles
from doce.web.requests import caller_of, who

#: Turns a project's page begins with; the ones before are a click away.
TURNS = 8
PROMPTS = 200
Do = Callable[..., Awaitable[Any]]
Show = Callable[["Visit"], Response]
#: What another door says to somebody who is signed in: `title`, `text`, and where to go on, `link` with `label`.
Notify = Callable[[Request, Person], Awaitable[dict[str, str]]]


class Visit:
    """One request for a page, by somebody who is signed in."""

    def __init__(self, services: Services, request: Request, person: Person, renderer: Renderer) -> None:
        self.request = request
        self.person = person
        self._services = services
        self._renderer = renderer

    def ask(self, name: str, **values: Any) -> Any:
        """What the action `name` answers to this person. Raises DoceError."""
        chosen = actions()[name]
        given: Input = understand(chosen, values)
        return perform(chosen, self._services, self.person, given, request_id=self.request.state.request_id)

    def page(self, name: str, **values: Any) -> Response:
        return self._renderer.page(name, me=self.person, **values)

    @property
    def query(self) -> dict[str, str]:
        """What was asked in the address; empty fields of a form are not asked."""
        return {name: value for name, value in self.request.query_params.items() if value}


class Pages:
    """The routes of the pages."""

    def __init__(self, services: Services, do: Do) -> None:
        self._services = services
        self._do = do
        self.static = StaticFiles()
        self.renderer = Renderer(self.static, ancestors=services.settings.frame_ancestors)

    def routes(self) -> list[BaseRoute]:
        get = partial(Route, methods=["GET"])
        return [
            get("/static/{stamp}/{name}", self.static.serve),
            get("/setup", self._open(self.setup)),
            get("/sign-in", self._open(self.sign_in)),
            get("/", self._page(projects)),
            get("/projects/{project}", self._page(project)),
            get("/projects/{project}/frame", self._page(frame)),
            get("/queue", self._page(queue)),
            get("/settings", self._page(settings)),
        ]

    def setup(self, request: Request) -> Response:
        """GET /setup: the first admin."""
        if self._services.users.any():
            return _go(HOME)
        return self.renderer.page("setup.html", me=None, wants_code=not caller_of(self._services, request).local)

    def sign_in(self, request: Request) -> Response:
        """GET /sign-in?next=: a local path to go on to."""
        if not self._services.users.any():
            return _go("/setup")
        following = onward(request.query_params.get("next"))
        if who(self._services, request):
            return _go(following)
        return self.renderer.page("sign_in.html", me=None, following=following)

    def page(self, notify: Notify) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint of a page of another door, for who is signed in; asked in the loop."""

        async def show(request: Request) -> Response:
            person = await self._do(who, self._services, request)
            if person is None:
                first: Response = await self._do(self._sign_in_first, request)
                return first
            request.state.user_id = person.id
            with log_context(user_id=person.id):
                notice = await notify(request, person)
            return self.renderer.page("notice.html", me=person, notice=notice)

        async def answer(request: Request) -> Response:
            return await self._answer(request, partial(show, request))

        return answer

    def _open(self, show: Callable[[Request], Response]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            return await self._answer(request, partial(self._do, show, request))

        return answer

    def _page(self, show: Show) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            return await self._answer(request, partial(self._do, self._show, request, show))

        return answer

    def _show(self, request: Request, show: Show) -> Response:
        person = who(self._services, request)
        if person is None:
            return self._sign_in_first(request)
        request.state.user_id = person.id
        with log_context(user_id=person.id):
            return show(Visit(self._services, request, person, self.renderer))

    def _sign_in_first(self, request: Request) -> Response:
        return _go(sign_in_url(request.url.path, request.url.query) if self._services.users.any() else "/setup")

    async def _answer(self, request: Request, show: Callable[[], Awaitable[Response]]) -> Response:
        if not caller_of(self._services, request).keeps_cookies and addresses.doce_url(self._services.settings) != _asked(request):
            # Here a site could read the session; doce's own address is another.
            query = f"?{request.url.query}" if request.url.query else ""
            return _go(addresses.doce_url(self._services.settings, request.url.port) + request.url.path + query)
        try:
            return await show()
        except DoceError as error:
            return problem(self.renderer, error)
        except HTTPException:
            raise
        except Exception as error:
            return problem(self.renderer, unexpected(error, user_id=getattr(request.state, "user_id", "")))

    def wants(self, request: Request) -> bool:
        """Whether a page, not JSON, is what this request should be told in."""
        return not request.url.path.startswith("/api/") and "text/html" in request.headers.get("accept", "")

    def problem(self, error: DoceError) -> Response:
        return problem(self.renderer, error)


def projects(visit: Visit) -> Response:
    """GET /: what is there, and a place to ask for more."""
    return visit.page(
        "projects.html",
        projects=visit.ask("projects.list", before=visit.request.query_params.get("before")),
        templates=visit.ask("templates.list").items,
    )


def project(visit: Visit) -> Response:
    """GET /projects/{project}: the chat, and everything else about one project."""
    word = visit.request.path_params["project"]
    found = visit.ask("projects.get", project=word)
    if word not in (found.slug, found.id):
        return _go(f"/projects/{quote(found.slug)}")
    asked = visit.query.get("turns", "")
    most = min(int(asked), PROMPTS) if asked.isascii() and asked.isdigit() and len(asked) < 5 else TURNS
    turns, earlier = _latest(visit.ask("prompts.list", project=found.id, limit=PROMPTS).items, most)
    members = visit.ask("members.list", project=found.id).items
    return visit.page(
        "project.html",
        project=found,
        after=turns[-1].seq - 1 if turns else 0,
        prompts=turns,
        earlier=earlier,
        production=visit.ask("productions.get", project=found.id),
        usage=visit.ask("projects.usage", project=found.id).total,
        members=members,
        people={one.user_id: one.name for one in members} | {visit.person.id: visit.person.name},
        owns=visit.person.is_admin or found.owner_user_id == visit.person.id,
        edits=visit.person.is_admin or any(one.user_id == visit.person.id and one.role != "viewer" for one in members),
    )


def _latest(prompts: list[PromptView], most: int) -> tuple[list[PromptView], bool]:
    """(what is shown at once: everything that waits and the last turns, newest first; whether there is more)"""
    shown: list[PromptView] = []
    turns = 0
    for prompt in prompts:
        if turns == most:
            return shown, True
        shown.append(prompt)
        turns += prompt.state not in (PromptState.QUEUED, PromptState.REMOVED)
    return shown, len(prompts) == PROMPTS


def frame(visit: Visit) -> Response:
    """GET /projects/{project}/frame: the live preview in a frame.

    A page of its own, so that it alone may show another origin, and exactly the one the preview has now.
    """
    found = visit.ask("projects.get", project=visit.request.path_params["project"])
    origin = (found.preview_url or "").rstrip("/")
    return visit._renderer.page("frame.html", me=visit.person, frames=[origin] if origin else ["'none'"], framed=True, project=found)


def queue(visit: Visit) -> Response:
    """GET /queue: jobs, as the filters in the address say."""
    query = visit.query
    return visit.page(
        "queue.html",
        jobs=visit.ask("jobs.list", **query),
        queue=visit.ask("queue.get"),
        asked=query,
        states=list(JobState),
        types=list(JobType),
        names={one.id: one for one in visit.ask("projects.list", limit=200).items},
    )


def settings(visit: Visit) -> Response:
    """GET /settings: one's own, and for an admin those of this doce."""
    admin = visit.person.is_admin
    return visit.page(
        "settings.html",
        tokens=visit.ask("tokens.list").items,
        preferences=visit.ask("account.settings"),
        identities=visit.ask("identities.list").items,
        spent={one.of: one for one in visit.ask("account.usage", by="user", limit=1000).items},
        users=visit.ask("users.list").items if admin else [],
        providers=visit.ask("providers.list").items if admin else [],
        instance=visit.ask("settings.list").items if admin else [],
    )


def _asked(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}"


def _go(path: str) -> Response:
    return RedirectResponse(path, 302, {"cache-control": "no-store"})
