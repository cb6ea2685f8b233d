"""A tiny bot on the real Bolt, connected to the twin over either transport."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.adapter.starlette.async_handler import AsyncSlackRequestHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doce.testing.slack import Slack

EVERYTHING = float("inf")


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """One test's coroutine."""
    asyncio.run(scenario())


def client(slack: Slack, token: str = "") -> AsyncWebClient:
    return AsyncWebClient(token=token or slack.token, base_url=slack.api_url)


def bot(slack: Slack) -> AsyncApp:
    """A Bolt app on the twin, with nothing in it yet."""
    return AsyncApp(client=client(slack), signing_secret=slack.app.signing_secret)


@asynccontextmanager
async def socket_mode(slack: Slack, app: AsyncApp) -> AsyncIterator[AsyncSocketModeHandler]:
    """The app, connected by a websocket."""
    handler = AsyncSocketModeHandler(app, slack.app.app_token, web_client=client(slack, slack.app.app_token), ping_interval=1)
    await handler.connect_async()
    await slack.connected()
    try:
        yield handler
    finally:
        await handler.close_async()
        await asyncio.wait_for(handler.client.aiohttp_client_session.close(), 5)


@asynccontextmanager
async def http_mode(slack: Slack, app: AsyncApp) -> AsyncIterator[str]:
    """The app behind Starlette and uvicorn; the twin posts to it."""
    handler = AsyncSlackRequestHandler(app)

    async def endpoint(request: Request) -> Response:
        return await handler.handle(request)

    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    made = Starlette(routes=[Route("/slack/{rest:path}", endpoint, methods=["GET", "POST"])])
    server = uvicorn.Server(uvicorn.Config(made, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/slack/events"
    try:
        await slack.use_http(url)
        yield url
    finally:
        server.should_exit = True
        await serving
        listener.close()
