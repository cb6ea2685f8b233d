"""Requests: who asks, and what the body says."""

from __future__ import annotations

import ipaddress
import json
import re
from functools import cache
from typing import Any

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import Response

from doce import addresses
from doce.actions.registry import Action, Caller, Input
from doce.actions.services import Services
from doce.auth.sessions import COOKIE, LIFE_MS
from doce.auth.users import Person
from doce.errors import BadRequest, Forbidden, PayloadTooLarge

MAX_BODY = 1024 * 1024
#: Attachments come as base64 in the body: five of the largest, and the prompt.
MAX_BODY_WITH_FILES = 8 * 1024 * 1024
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def who(services: Services, request: Request) -> Person | None:
    """Who asks: by a token, else by a browser's session. Addresses that guess tokens are slowed down; a valid one never is.

    Raises Forbidden for a write that another site's page asked this browser for.
    """
    secret = bearer(request)
    if secret is None:
        return _in_browser(services, request)
    person = services.tokens.who(secret)
    if person is None:
        services.attempts.failed(address(request))
    return person


def glance(services: Services, request: Request) -> Person | None:
    """Who asks, when a look says so; None when there is more to do (a guess to count, a use to note): ask `who`."""
    secret = bearer(request)
    return _in_browser(services, request) if secret is None else services.tokens.glance(secret)


def _in_browser(services: Services, request: Request) -> Person | None:
    secret = session(request)
    person = services.sessions.who(secret) if secret else None
    if person and request.method not in ("GET", "HEAD"):
        check_origin(request, required=True)
    return person


def check_origin(request: Request, *, required: bool) -> None:
    """Raises Forbidden for what another site's page sent, and for what does not say when that is `required`: a browser always does."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        good = site == "same-origin"
    elif origin is not None:
        good = origin.lower() == f"{request.url.scheme}://{request.headers.get('host', '')}".lower()
    else:
        good = not required
    if not good:
        raise Forbidden("This came from another site's page.", hint="Do it on doce's own page, or with a token.")


def caller_of(services: Services, request: Request) -> Caller:
    """Where a request comes from."""
    secret, host = session(request) if bearer(request) is None else None, request.url.hostname or ""
    return Caller(
        address=address(request),
        local=_is_loopback(address(request)) and "x-forwarded-for" not in request.headers,
        keeps_cookies=not addresses.shared_with_sites(services.settings, host, request.url.scheme == "https"),
        session=SecretStr(secret) if secret else None,
    )


def address(request: Request) -> str:
    return request.client.host if request.client else "?"


def _is_loopback(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False


def session(request: Request) -> str | None:
    """What the cookie of a signed-in browser holds."""
    return request.cookies.get(COOKIE) or None


def with_session(response: Response, request: Request, secret: SecretStr | None) -> None:
    """Have the browser keep `secret` as its session; None: forget it."""
    secure = request.url.scheme == "https"
    if secret is None:
        response.delete_cookie(COOKIE, path="/", secure=secure, httponly=True, samesite="lax")
    else:
        response.set_cookie(
            COOKIE, secret.get_secret_value(), max_age=LIFE_MS // 1000, path="/", secure=secure, httponly=True, samesite="lax"
        )


def bearer(request: Request) -> str | None:
    """The secret in ``Authorization: Bearer …``."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    return (secret.strip() or None) if scheme.lower() == "bearer" else None


async def body_of(request: Request, limit: int) -> dict[str, Any]:
    """The JSON object in the body; none is an empty one. Raises BadRequest, PayloadTooLarge."""
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > limit:
            raise PayloadTooLarge(f"The request is larger than {limit // (1024 * 1024)} MiB.")
    if not data.strip():
        return {}
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise BadRequest(f"The body is {kind}; JSON is wanted.", hint="Send `Content-Type: application/json`.")
    try:
        # Decoded here: json would guess UTF-16, and let halves of characters through.
        body = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        raise BadRequest("The body is not valid JSON.", hint="Send one JSON object in UTF-8.") from None
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.")
    if _SURROGATE.search(data):
        _check_text(body)
    return body


def _check_text(body: dict[str, Any]) -> None:
    """Half a character (a lone surrogate) can be neither stored nor sent on."""
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        found = ord(error.object[error.start])
        raise BadRequest(f"The body has a character that is not text (U+{found:04X}).", hint="Remove it and send it again.") from None


@cache
def _aliases(kind: type[Input]) -> dict[str, str]:
    return {info.alias or name: name for name, info in kind.model_fields.items()}


def values_of(chosen: Action, request: Request, body: dict[str, Any]) -> dict[str, Any]:
    """The action's input: from the path, else from the query (GET, DELETE) or the body."""
    aliases = _aliases(chosen.input)
    values: dict[str, Any] = dict(body)
    if not chosen.in_query and request.query_params:
        raise BadRequest("This takes its fields in the body, not in the query.", hint="Send them as JSON.")
    for name, value in request.query_params.multi_items():
        if name in values:
            raise BadRequest(f"{name!r} is given twice.", details={"field": name})
        values[name] = value
    for name in chosen.placeholders:
        if any(alias in values for alias, field in aliases.items() if field == name):
            raise BadRequest(f"{name!r} belongs in the address.", details={"field": name})
        values[name] = request.path_params[name]
    return values
