"""Requests of Slack over HTTP: signed, fresh and of a decent size before anything reads them."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from urllib.parse import parse_qs

from slack_bolt.adapter.starlette.async_handler import to_async_bolt_request, to_starlette_response
from slack_bolt.async_app import AsyncApp
from slack_sdk.signature import Clock, SignatureVerifier
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from doce.errors import BadRequest, PayloadTooLarge, Unauthorized

logger = logging.getLogger(__name__)

#: Slack's own are far smaller: a form of 100 blocks is some 100 kB.
MAX_BODY = 1024 * 1024
_SECONDS = re.compile(r"[0-9]{1,12}")


class Requests:
    """Lets in what one of the app's signing secrets signed within five minutes."""

    def __init__(self, app: AsyncApp, secrets: list[str], clock: Clock | None = None) -> None:
        """`secrets`: the current one, and the one before while it is changed."""
        self._app = app
        self._verifiers = [SignatureVerifier(one, clock or Clock()) for one in secrets]

    async def receive(self, request: Request) -> Response:
        """The answer of Bolt. Raises BadRequest, Unauthorized, PayloadTooLarge."""
        try:
            body = await _body(request)
        except ClientDisconnect:
            return Response(status_code=499)
        if _checks_tls(request, body):
            return Response()
        if not self.is_signed(body, request.headers):
            # Not what it says: those are strangers' words.
            logger.warning(
                "a request that Slack did not sign was turned away", extra={"from": request.client.host if request.client else ""}
            )
            raise Unauthorized("This was not signed by Slack, or too long ago.", hint="DOCE_SLACK_SIGNING_SECRET may be another app's.")
        try:
            heard = to_async_bolt_request(request, body)
            heard.body.get("event", {}).get("type")
        except (ValueError, TypeError, AttributeError, LookupError):
            raise BadRequest("This cannot be read: Slack sends JSON or a form.") from None
        return to_starlette_response(await self._app.async_dispatch(heard))

    def is_signed(self, body: bytes, headers: Mapping[str, str]) -> bool:
        """Whether one of the secrets signed it, not more than five minutes from now."""
        at, signature = headers.get("x-slack-request-timestamp", ""), headers.get("x-slack-signature", "")
        if not _SECONDS.fullmatch(at) or not signature.isascii():
            return False
        try:
            return any(one.is_valid(body, at, signature) for one in self._verifiers)
        except UnicodeDecodeError:
            return False


async def _body(request: Request) -> bytes:
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > MAX_BODY:
            raise PayloadTooLarge(f"The request is larger than {MAX_BODY // 1024} KiB.")
    return bytes(data)


def _checks_tls(request: Request, body: bytes) -> bool:
    """Slack looks whether the address answers over TLS; that carries nothing, so it needs no signature."""
    form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    return form and body.startswith(b"ssl_check=") and set(parse_qs(body.decode("ascii", "replace"))) <= {"ssl_check", "token"}
