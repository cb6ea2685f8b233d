"""Requests: who asks, and what the body says."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from starlette.requests import Request

from doce.actions.registry import Action, Input
from doce.actions.services import Services
from doce.auth.users import Person
from doce.errors import BadRequest, PayloadTooLarge

MAX_BODY = 1024 * 1024
#: Attachments come as base64 in the body: five of the largest, and the prompt.
MAX_BODY_WITH_FILES = 8 * 1024 * 1024
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def who(services: Services, request: Request) -> Person | None:
    """Whose token this request carries. Addresses that guess are slowed down; a valid token never is."""
    secret = bearer(request)
    if secret is None:
        return None
    person = services.tokens.who(secret)
    if person is None:
        address = request.client.host if request.client else "?"
        services.attempts.failed(address)
    return person


def glance(services: Services, request: Request) -> Person | None:
    """Whose token this is when a look says so; None when there is more to do (a guess to count, a use to note): ask `who`."""
    secret = bearer(request)
    return services.tokens.glance(secret) if secret else None


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
