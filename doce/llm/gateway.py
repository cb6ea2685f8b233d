"""The model gateway: what agents believe is their model provider. It holds the keys, counts, and also plays the rehearsal.

OpenAI-compatible; serves these routes and nothing else, to the tokens of running projects and nobody else.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any, TypeVar

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from doce import transport
from doce.errors import BadRequest
from doce.llm import rehearsal
from doce.llm.catalog import REHEARSAL, Catalog, Provider, headers
from doce.llm.tokens import GatewayTokens
from doce.llm.usage import Meter, UsageCounter
from doce.logger import mask

logger = logging.getLogger(__name__)

MAX_REFUSAL = 64 * 1024
MAX_BODY = 32 * 1024 * 1024
#: A model may think for minutes before its first word.
TIMEOUT = httpx.Timeout(600, connect=10)
#: Requests remembered, to know how often the same one came.
REMEMBERED = 1000
#: Answer headers that are the provider's business with the agent.
_PASSED = ("content-type", "retry-after", "retry-after-ms", "x-request-id")


class Gateway:
    """The routes. One per process; `close` when the loop ends."""

    def __init__(self, *, tokens: GatewayTokens, catalog: Catalog, usage: UsageCounter) -> None:
        self._tokens = tokens
        self._catalog = catalog
        self._usage = usage
        self._client: httpx.AsyncClient | None = None
        self._seen: OrderedDict[str, int] = OrderedDict()
        self._writing: set[asyncio.Task[None]] = set()

    def app(self) -> Starlette:
        """The ASGI application."""
        app = Starlette(
            routes=[
                Route("/v1/chat/completions", self.complete, methods=["POST"]),
                Route("/v1/models", self.models, methods=["GET"]),
                Route("/health", self.health, methods=["GET"]),
            ],
            exception_handlers={404: _not_found, 405: _not_found},
        )
        app.router.redirect_slashes = False
        return app

    async def close(self) -> None:
        """Finish writing, end connections to providers."""
        await asyncio.gather(*self._writing, return_exceptions=True)
        if self._client:
            await self._client.aclose()

    async def health(self, request: Request) -> Response:
        return JSONResponse({"ok": True})

    async def models(self, request: Request) -> Response:
        if await self._project(request) is None:
            return refusal(401, "This token opens nothing here.", "invalid_api_key")
        found = await asyncio.to_thread(self._catalog.models)
        return JSONResponse(
            {"object": "list", "data": [{"id": model.id, "object": "model", "owned_by": model.provider} for model in found]}
        )

    async def complete(self, request: Request) -> Response:
        """POST /v1/chat/completions"""
        project_id = await self._project(request)
        if project_id is None:
            return refusal(401, "This token opens nothing here: the project may have been stopped.", "invalid_api_key")
        try:
            body = await _body(request)
        except ClientDisconnect:
            return Response(status_code=499)
        except BadRequest as error:
            return refusal(413 if "large" in error.message else 400, error.message, "invalid_request_error")
        model_id = body.get("model")
        try:
            await asyncio.to_thread(self._catalog.check, str(model_id))
        except BadRequest as error:
            return refusal(404, str(error), "model_not_found")
        provider_name, _, model = str(model_id).partition("/")
        if provider_name == REHEARSAL:
            return await self._rehearse(request, project_id, body)
        return await self._pass(request, project_id, self._catalog.providers()[provider_name], model, body)

    async def _project(self, request: Request) -> str | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return await asyncio.to_thread(self._tokens.verify, token.strip()) if scheme.lower() == "bearer" else None

    # The rehearsal, played in this process.

    async def _rehearse(self, request: Request, project_id: str, body: dict[str, Any]) -> Response:
        reply = rehearsal.reply(body, attempt=self._attempt(project_id, body))
        if reply.status != 200:
            return JSONResponse(dict(reply.error or {}), reply.status, dict(reply.headers))
        meter = Meter(body)
        if not body.get("stream"):
            answer = rehearsal.complete(body)
            meter.whole(answer)
            self._write(project_id, str(body["model"]), meter)
            return JSONResponse(answer)

        call = await asyncio.to_thread(self._usage.begin, project_id, str(body["model"]), meter.counted())

        async def play() -> AsyncIterator[bytes]:
            try:
                for piece in reply.pieces:
                    if piece.delay_ms:
                        await asyncio.sleep(piece.delay_ms / 1000)
                    if piece.broken:
                        transport.abort(request.scope)
                        return
                    said = piece.error if piece.error is not None else piece.chunk
                    if said is not None:
                        meter.whole(dict(said))
                        yield f"data: {json.dumps(said, separators=(',', ':'))}\n\n".encode()
                yield b"data: [DONE]\n\n"
            finally:
                self._write(project_id, str(body["model"]), meter, call)

        return StreamingResponse(play(), media_type="text/event-stream", headers={"cache-control": "no-cache"})

    def _attempt(self, project_id: str, body: Mapping[str, Any]) -> int:
        """How often this very request came before: the rehearsal itself remembers nothing."""
        key = hashlib.sha256(f"{project_id} {json.dumps(body, sort_keys=True)}".encode()).hexdigest()
        seen = self._seen.pop(key, 0)
        self._seen[key] = seen + 1
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return seen

    # Real providers.

    async def _pass(self, request: Request, project_id: str, provider: Provider, model: str, body: dict[str, Any]) -> Response:
        """Hand the request on and the answer back, byte for byte as it arrives."""
        model_id, meter = str(body["model"]), Meter(body)
        body = {**body, "model": model}
        if body.get("stream"):
            body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=False)
        asked = self._client.build_request(
            "POST", f"{provider.base_url}/chat/completions", json=body, headers={**headers(provider), "accept-encoding": "identity"}
        )
        call = await asyncio.to_thread(self._usage.begin, project_id, model_id, meter.counted())
        try:
            answer = await _unless_left(request, self._client.send(asked, stream=True))
        except httpx.HTTPError as error:
            await asyncio.to_thread(self._usage.forget, call)
            logger.warning("%s does not answer", provider.name, extra={"project_id": project_id, "cause": type(error).__name__})
            return refusal(502, f"The model provider {provider.name} does not answer ({type(error).__name__}).", "upstream_error")
        if answer is None:
            # The agent left before the first word; the provider had read the request.
            self._write(project_id, model_id, meter, call)
            return Response(status_code=499)
        passed = {name: answer.headers[name] for name in _PASSED if name in answer.headers}
        if answer.status_code >= 400:
            await asyncio.to_thread(self._usage.forget, call)
            logger.warning("%s refused", provider.name, extra={"project_id": project_id, "status": answer.status_code})
            return Response(await _refused(answer, provider), answer.status_code, passed)

        async def copy() -> AsyncIterator[bytes]:
            try:
                async for data in answer.aiter_raw():
                    meter.take(data)
                    yield data
            except httpx.HTTPError as error:
                # Cut, not ended: a broken stream must reach the agent as one.
                logger.warning("%s broke off", provider.name, extra={"project_id": project_id, "cause": type(error).__name__})
                transport.abort(request.scope)
            finally:
                self._close(answer)
                self._write(project_id, model_id, meter, call)

        # Closed once more in the end: an agent that is gone before the first piece never starts the copy.
        return StreamingResponse(copy(), answer.status_code, passed, background=BackgroundTask(answer.aclose))

    def _close(self, answer: httpx.Response) -> None:
        """In a task of its own: the request's may be cancelled because the agent went away."""
        self._keep(asyncio.create_task(answer.aclose()))

    def _write(self, project_id: str, model_id: str, meter: Meter, call: str | None = None) -> None:
        self._keep(asyncio.create_task(asyncio.to_thread(self._usage.count, project_id, model_id, meter.counted(), call=call)))

    def recover(self) -> None:
        """Count what a doce that was killed had under way."""
        self._usage.recover()

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)


T = TypeVar("T")


async def _unless_left(request: Request, work: Coroutine[Any, Any, T]) -> T | None:
    """What `work` comes to; None, and `work` is cancelled, when the client is gone first."""
    working, leaving = asyncio.create_task(work), asyncio.create_task(_left(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return await working if working.done() else None
    finally:
        leaving.cancel()
        working.cancel()
        await asyncio.gather(leaving, working, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _refused(answer: httpx.Response, provider: Provider) -> bytes:
    """What a provider says when it refuses, without the key: some repeat it."""
    said = bytearray()
    try:
        async for data in answer.aiter_raw():
            said += data
            if len(said) > MAX_REFUSAL:
                break
    except httpx.HTTPError:
        pass
    finally:
        await answer.aclose()
    key = provider.key.get_secret_value().encode() if provider.key else b""
    return bytes(said[:MAX_REFUSAL]).replace(key, b"***") if key else bytes(said[:MAX_REFUSAL])


async def _body(request: Request) -> dict[str, Any]:
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > MAX_BODY:
            raise BadRequest("The request is too large.")
    try:
        body = json.loads(data)
    except ValueError:
        body = None
    if not isinstance(body, dict) or not isinstance(body.get("messages"), list):
        raise BadRequest("The request is not a chat completion.")
    return body


def refusal(status: int, message: str, code: str) -> Response:
    """An error as OpenAI writes them."""
    return JSONResponse({"error": {"message": mask(message), "type": code, "code": code}}, status)


async def _not_found(request: Request, error: Exception) -> Response:
    return refusal(404, "The gateway serves chat completions and nothing else.", "not_found")
