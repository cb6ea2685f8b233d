"""The twin's HTTP: the Web API, the websocket, uploads and downloads, response addresses and the page to install an app."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

from aiohttp import web

from doce.testing.slack.app import Token
from doce.testing.slack.call import METHODS, Call, Called, Method
from doce.testing.slack.faults import Fault
from doce.testing.slack.installing import Installing
from doce.testing.slack.page import Page
from doce.testing.slack.refusal import Refused
from doce.testing.slack.storage import Storage

if TYPE_CHECKING:
    from doce.testing.slack.twin import Slack

Raw = dict[str, Any]
MOST_BYTES = 64 * 1024**2


def application(slack: Slack) -> web.Application:
    """Everything on one port."""
    served = web.Application(client_max_size=MOST_BYTES)
    api = Api(slack)
    served.router.add_route("*", "/api/{method}", api.answer)
    served.router.add_get("/link/", slack.sockets.serve)
    storage, installing = Storage(slack), Installing(slack)
    served.router.add_route("*", "/upload/v1/{file}", storage.upload)
    served.router.add_get("/files-pri/{file}/{rest:.*}", storage.download)
    served.router.add_post("/response/{team}/{secret}", slack.people.responses.serve)
    served.router.add_get("/oauth/v2/authorize", installing.authorize)
    served.router.add_post("/oauth/v2/authorize", installing.authorize)
    served.router.add_routes(Page(slack).routes())
    return served


class Api:
    """Answers the calls of the Web API, and keeps a note of each."""

    def __init__(self, slack: Slack) -> None:
        self.slack = slack

    async def answer(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["method"]
        method = METHODS.get(name)
        arguments = await read(request, json=method is None or method.json)
        token = self._token(request, arguments)
        fault = self.slack.faults.next(name)
        if fault and fault.hang:
            await asyncio.sleep(fault.hang)
        if fault and not fault.took_effect:
            return self._broken(request, name, arguments, token, fault)
        answer, status, headers = await self._call(name, arguments, token)
        self._note(name, arguments, token, answer, status)
        if fault and (fault.reset or fault.status != 200):
            return self._broken(request, name, arguments, token, fault)
        return web.json_response(answer, status=status, headers=headers)

    async def _call(self, name: str, arguments: Raw, token: Token | None) -> tuple[Raw, int, dict[str, str]]:
        method = METHODS.get(name)
        try:
            if method is None:
                raise Refused("unknown_method", req_method=name)
            call = Call(self.slack, name, arguments, self._allowed(method, token, arguments))
            if wait := self.slack.limits.call(name, call.token.team, method.tier):
                raise Refused("ratelimited", retry_after=wait)
            self.slack.world.expire()
            found = method.answer(call)
            answer = {"ok": True, **(found if isinstance(found, dict) else await found)}
            return answer, 200, _scopes(method, call.token)
        except Refused as no:
            if no.code == "ratelimited":
                return {"ok": False, "error": "ratelimited"}, 429, {"Retry-After": str(no.more["retry_after"])}
            return no.answer(), 200, {}

    def _token(self, request: web.Request, arguments: Raw) -> Token | None:
        given = request.headers.get("Authorization", "")
        value = given.removeprefix("Bearer ").strip() if given.startswith("Bearer ") else str(arguments.pop("token", "") or "")
        if given.startswith("Basic "):
            login, _, password = base64.b64decode(given.removeprefix("Basic ")).decode().partition(":")
            arguments.setdefault("client_id", login)
            arguments.setdefault("client_secret", password)
        arguments.pop("token", None)
        return self.slack.tokens.get(value, Token(value, "unknown")) if value else None

    def _allowed(self, method: Method, token: Token | None, arguments: Raw) -> Token:
        """The token, when it may call this. Raises Refused."""
        if method.level == "none":
            return Token("", "none")
        if token is None:
            raise Refused("not_authed")
        if token.kind == "unknown":
            raise Refused("invalid_auth")
        if token.revoked:
            raise Refused("token_revoked")
        if token.kind != method.level:
            raise Refused("not_allowed_token_type")
        if method.scopes and not set(method.scopes) & set(token.scopes):
            raise Refused("missing_scope", needed=method.scopes[0], provided=",".join(token.scopes))
        return token

    def _note(self, name: str, arguments: Raw, token: Token | None, answer: Raw, status: int) -> None:
        kept = {key: value for key, value in arguments.items() if key not in ("client_secret", "token")}
        team = token.team if token else ""
        self.slack.calls.append(Called(name, kept, team, self.slack.clock.now(), str(answer.get("error", "")), status, answer))
        self.slack.world.changed()

    def _broken(self, request: web.Request, name: str, arguments: Raw, token: Token | None, fault: Fault) -> web.StreamResponse:
        """What a fault makes of an answer."""
        if not fault.took_effect:
            self._note(
                name,
                arguments,
                token,
                {"ok": False, "error": fault.error or ("reset" if fault.reset else f"http_{fault.status}")},
                fault.status,
            )
        if fault.reset:
            assert request.transport
            request.transport.abort()
            raise ConnectionResetError
        headers = {"Retry-After": str(fault.retry_after)} if fault.retry_after else {}
        if fault.error:
            return web.json_response({"ok": False, "error": fault.error}, status=fault.status, headers=headers)
        return web.Response(status=fault.status, text="<html><body>Slack is having trouble.</body></html>", content_type="text/html")


def _scopes(method: Method, token: Token) -> dict[str, str]:
    return {"x-oauth-scopes": ",".join(token.scopes), "x-accepted-oauth-scopes": ",".join(method.scopes)} if token.scopes else {}


async def read(request: web.Request, *, json: bool) -> Raw:
    """Arguments of the query and of a form or JSON in the body."""
    arguments: Raw = dict(request.query)
    if not request.can_read_body:
        return arguments
    if request.content_type == "application/json":
        try:
            said = await request.json()
        except ValueError:
            return arguments
        return arguments | (said if isinstance(said, dict) and json else {})
    return arguments | {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
