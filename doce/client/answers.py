"""What an answer, or the lack of one, means: a value, or the error of `doce.errors` that doce itself raised."""

from __future__ import annotations

from typing import Any

import httpx

from doce.client.address import Address
from doce.errors import BadRequest, DoceError, InternalServerError, RateLimited, Unauthorized, Unavailable, all_errors

_BY_CODE = {kind.code: kind for kind in all_errors()} | {InternalServerError.code: InternalServerError}
_BY_STATUS = {kind.status: kind for kind in all_errors() if kind.code != "SETUP_REQUIRED"} | {500: InternalServerError}
_NOT_DOCE = "Is DOCE_URL right, and does a proxy stand between?"


def value(response: httpx.Response, address: Address) -> Any:
    """The JSON of a good answer (None when it is empty, text when it is not JSON). Raises what doce raised."""
    if response.status_code >= 400:
        raise refusal(response, address)
    if response.status_code >= 300:
        raise Unavailable(f"{address.url} sends elsewhere instead of answering.", hint=_NOT_DOCE)
    if not response.content:
        return None
    if "json" not in response.headers.get("content-type", ""):
        return response.text
    try:
        return response.json()
    except ValueError:
        raise Unavailable(f"The answer of {address.url} is cut off or not JSON.", hint=_NOT_DOCE) from None


def streams(response: httpx.Response) -> bool:
    """Whether events follow."""
    return response.status_code == 200 and "text/event-stream" in response.headers.get("content-type", "")


def no_stream(response: httpx.Response, address: Address) -> DoceError:
    """Why no events follow."""
    if response.status_code >= 400:
        return refusal(response, address)
    return Unavailable(f"What answers at {address.url} is not doce: it sent no event stream.", hint=_NOT_DOCE)


def refusal(response: httpx.Response, address: Address) -> DoceError:
    """The error an answer of 400 or more stands for: same class, same sentence, same hint."""
    try:
        said = response.json()["error"]
        code, message = str(said["code"]), str(said["message"])
    except (ValueError, KeyError, TypeError):
        return _foreign(response, address)
    kind = _BY_CODE.get(code) or _BY_STATUS.get(response.status_code, DoceError)
    hint, details = said.get("hint"), said.get("details")
    if kind is Unauthorized and address.token is None:
        hint = "No token was found: set DOCE_TOKEN, or DOCE_DATA to the data folder of this doce."
    if issubclass(kind, RateLimited):
        return RateLimited(message, hint=hint, retry_after_s=_retry_after(response, details))
    return kind(message, hint=hint, details=details)


def _foreign(response: httpx.Response, address: Address) -> DoceError:
    """An error that doce did not write: a proxy, or another program at this address."""
    status = response.status_code
    if status == 429:
        return RateLimited(retry_after_s=_retry_after(response, None))
    return Unavailable(f"What answers at {address.url} is not doce (HTTP {status}).", hint=_NOT_DOCE, details={"status": status})


def _retry_after(response: httpx.Response, details: Any) -> int:
    said = [str(details.get("retryAfter"))] if isinstance(details, dict) else []
    return next((int(seconds) for seconds in (*said, response.headers.get("retry-after", "")) if seconds.isdigit()), 60)


def silence(error: httpx.HTTPError | httpx.InvalidURL, address: Address) -> DoceError:
    """What it means that no answer came."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        if address.local:
            return Unavailable(f"doce is not running at {address.url}.", hint="`doce serve` starts it.")
        return Unavailable(f"doce cannot be reached at {address.url}.", hint="Is it running, and is DOCE_URL right?")
    if isinstance(error, httpx.TimeoutException):
        return Unavailable(f"doce at {address.url} does not answer.", hint="`doce doctor` says what is wrong; the work itself goes on.")
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
        return BadRequest(f"{address.url!r} is not an address of a doce.", hint="An address looks like http://localhost:8420.")
    return Unavailable(f"The connection to doce at {address.url} broke.", hint="`doce list` shows whether it was done.")
