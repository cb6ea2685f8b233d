"""What every answer gets: security headers, a request id, the context of its log lines, an answer when all else broke.

Plain ASGI, so streams pass untouched.
"""

from __future__ import annotations

import secrets

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from doce import transport
from doce.logger import log_context
from doce.web.answers import on_unexpected

HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
HSTS = "max-age=31536000; includeSubDomains"


class Envelope:
    """Wraps the whole application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        began = False

        async def send_wrapped(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers["x-request-id"] = request_id
                if scope.get("scheme") == "https":
                    headers["strict-transport-security"] = HSTS
            await send(message)

        with log_context(request_id=request_id, operation=f"{scope['method']} {scope['path']}"):
            try:
                await self._app(scope, receive, send_wrapped)
            except Exception as error:
                answer = on_unexpected(error, **({"user_id": state["user_id"]} if "user_id" in state else {}))
                if began:
                    # Half an answer must not look whole.
                    transport.abort(scope)
                else:
                    await answer(scope, receive, send_wrapped)
