"""One route for each action, and the streams."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from doce.actions import once
from doce.actions.catalog import actions
from doce.actions.registry import Action, Call, Download, Input, SignedIn, SignedOut, admit, perform, understand
from doce.actions.services import Services
from doce.auth import policy
from doce.auth.users import Person
from doce.db.connection import database
from doce.errors import NotFound
from doce.logger import log_context
from doce.projects.incoming import Received
from doce.web.answers import ON_ERROR, Json, on_http_error
from doce.web.downloads import download
from doce.web.job_streams import JobStreams
from doce.web.middleware import Envelope
from doce.web.openapi import document
from doce.web.pages.routes import Pages
from doce.web.receiving import Receiving
from doce.web.requests import MAX_BODY, MAX_BODY_WITH_FILES, body_of, caller_of, check_origin, glance, values_of, who, with_session
from doce.web.sse import Streams

THREADS = 16


class Office:
    """Where actions are done: threads of their own, never the loop's."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="doce-act")
        self.streams = Streams(services, self.do)
        self.jobs = JobStreams(services, self.do)
        self.receiving = Receiving(services.incoming)

    async def do(self, work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Run `work` in one of the threads."""
        inside = contextvars.copy_context().run
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(inside, _tidily, partial(work, **named), *arguments))

    def close(self) -> None:
        self.streams.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def endpoint(self, chosen: Action) -> Callable[[Request], Awaitable[Response]]:
        limit = MAX_BODY_WITH_FILES if "attachments" in chosen.input.model_fields else MAX_BODY

        async def respond(request: Request) -> Response:
            if chosen.quick and (known := glance(self.services, request)):
                return self._at_once(chosen, request, known)
            person = await self.do(who, self.services, request)
            if person:
                request.state.user_id = person.id
            if chosen.role != "public":
                # Before the body is read: nobody makes doce read megabytes without a token.
                await self.do(policy.signed_in, self.services.users, person)
            with log_context(user_id=person.id if person else None):
                try:
                    done = await self._done(chosen, request, person, limit)
                except ClientDisconnect:
                    return Response(status_code=499)
            if isinstance(done, Download):
                return download(done, self.do)
            answer = Json(done, chosen.status)
            if isinstance(done, SignedIn | SignedOut):
                with_session(answer, request, done.session if isinstance(done, SignedIn) else None)
            return answer

        return respond

    def _at_once(self, chosen: Action, request: Request, person: Person) -> Response:
        """A look that waits for nothing: a thread would cost more than it."""
        request.state.user_id = person.id
        with log_context(user_id=person.id):
            given = understand(chosen, values_of(chosen, request, {}))
            return Json(perform(chosen, self.services, person, given, request_id=request.state.request_id), chosen.status)

    async def _done(self, chosen: Action, request: Request, person: Person | None, limit: int) -> Any:
        if chosen.takes:
            return await self._with_file(chosen, request, person)
        values = values_of(chosen, request, await body_of(request, limit))
        given = understand(chosen, values, typed=not chosen.in_query)
        if chosen.role == "public" and request.method != "GET":
            check_origin(request, required=False)
        key = request.headers.get(once.HEADER) if chosen.repeatable else None
        deed = chosen if key is None else once.for_key(chosen, key)
        caller = caller_of(self.services, request)
        return await self.do(perform, deed, self.services, person, given, request_id=request.state.request_id, caller=caller)

    async def _with_file(self, chosen: Action, request: Request, person: Person | None) -> Any:
        """First whether this person may, then the file, which may be long in coming, then the deed."""
        given = understand(chosen, values_of(chosen, request, {}))
        call: Call = await self.do(admit, chosen, self.services, person, given, request_id=request.state.request_id)
        assert chosen.takes
        await self.do(self.services.projects.check_disk)
        received = await self.receiving.receive(request, chosen.takes)
        return await self.do(_use, chosen, call, given, received)

    async def openapi(self, request: Request) -> Response:
        """GET /api/openapi.json"""
        person = await self.do(who, self.services, request)
        await self.do(policy.signed_in, self.services.users, person)
        return Json(document())


def _use(chosen: Action, call: Call, given: Input, received: Received) -> Any:
    try:
        return chosen.run(replace(call, file=received), given)
    finally:
        received.discard()


def _tidily(work: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return work(*arguments)
    finally:
        # A transaction that an error left open must not be the next request's.
        if not database.is_closed() and database.transaction_depth() == 0 and database.connection().in_transaction:
            database.rollback()


def application(services: Services) -> Starlette:
    """doce's HTTP door."""
    office = Office(services)
    streams = office.streams
    paths: dict[str, list[Action]] = {}
    for chosen in actions().values():
        paths.setdefault(chosen.path, []).append(chosen)
    routes: list[BaseRoute] = [
        Whole("/api/projects/{project}/opencode/event", streams.events, methods=["GET"]),
        Whole("/api/projects/{project}/logs", streams.logs, methods=["GET"]),
        Whole("/api/jobs/stream", office.jobs.everything, methods=["GET"]),
        Whole("/api/jobs/{job}/stream", office.jobs.one, methods=["GET"]),
        Whole("/api/openapi.json", office.openapi, methods=["GET"]),
    ]
    routes += [
        Whole(path, _by_method({one.method: office.endpoint(one) for one in group}), methods=[one.method for one in group])
        for path, group in paths.items()
    ]
    routes.sort(key=_literal_first)
    pages = Pages(services, office.do)
    app = Starlette(
        routes=[*routes, *pages.routes()], middleware=[Middleware(Envelope)],
        exception_handlers={**ON_ERROR, HTTPException: partial(_not_there, pages)},
    )  # fmt: skip
    # An address with a slash too many is told so in our words, not sent to a host that the request made up.
    app.router.redirect_slashes = False
    app.state.office, app.state.pages = office, pages
    return app


async def _not_there(pages: Pages, request: Request, error: Exception) -> Response:
    """What Starlette itself refuses: to somebody with a browser as a page."""
    if isinstance(error, HTTPException) and error.status_code == 404 and pages.wants(request):
        return pages.problem(NotFound(f"There is nothing at {request.url.path}.", hint="The first page shows your projects."))
    return await on_http_error(request, error)


class Whole(Route):
    """A path of its own: what it does not know by method, no later route is asked for."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        return Match.FULL if match is Match.PARTIAL else match, child


def _literal_first(route: BaseRoute) -> tuple[bool, ...]:
    """`/api/jobs/stream` is no job called so."""
    return tuple(part.startswith("{") for part in getattr(route, "path", "").split("/"))


def _by_method(endpoints: dict[str, Callable[[Request], Awaitable[Response]]]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return await endpoints["GET" if request.method == "HEAD" and "GET" in endpoints else request.method](request)

    return answer
