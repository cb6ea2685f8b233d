"""Answers: JSON in one shape, errors in one shape."""

from __future__ import annotations

import json
import logging
import secrets
from typing import Any

from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from doce.errors import BadRequest, DoceError, InternalServerError, NotFound, PayloadTooLarge, RateLimited

logger = logging.getLogger(__name__)


class Json(Response):
    """A JSON answer; `content` is what `json.dumps` takes or a pydantic model."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        if isinstance(content, BaseModel):
            return content.model_dump_json(by_alias=True).encode()
        return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


class MethodNotAllowed(BadRequest):
    """This address does not know that method."""

    status = 405


def refusal(error: DoceError) -> Json:
    """`error` as an answer."""
    headers = {"retry-after": str(error.retry_after_s)} if isinstance(error, RateLimited) else {}
    if error.status == 401:
        headers["www-authenticate"] = 'Bearer realm="doce"'
    return Json(error.as_dict(), error.status, headers)


async def on_doce_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, DoceError)
    if error.status >= 500:
        logger.error("%s", error.message, exc_info=error)
    return refusal(error)


async def on_http_error(request: Request, error: Exception) -> Response:
    """What Starlette itself refuses, in our shape."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return refusal(NotFound(f"There is nothing at {request.url.path}.", hint="/api/openapi.json lists what there is."))
    if error.status_code == 405:
        answer = refusal(MethodNotAllowed(f"{request.url.path} does not know {request.method}."))
        answer.headers.update(error.headers or {})
        return answer
    if error.status_code == 413:
        return refusal(PayloadTooLarge())
    return refusal(BadRequest(str(error.detail)))


def on_unexpected(error: Exception, **ids: str) -> Response:
    return refusal(unexpected(error, **ids))


def unexpected(error: Exception, **ids: str) -> InternalServerError:
    """A reference for the person, the stack for the log."""
    reference = secrets.token_hex(4)
    logger.error("an answer broke (reference %s)", reference, exc_info=error, extra={"reference": reference, **ids})
    return InternalServerError(
        f"Something broke on doce's side (reference {reference}). Your files are safe.",
        hint="Try again; if it stays, look for the reference in doce's log.",
        details={"reference": reference},
    )


#: What is unexpected is the envelope's: it also wraps what Starlette would answer outside of it.
ON_ERROR: dict[Any, Any] = {DoceError: on_doce_error, HTTPException: on_http_error}
