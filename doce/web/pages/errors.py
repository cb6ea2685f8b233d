"""Errors as pages: what happened, what to do next."""

from __future__ import annotations

from starlette.responses import Response

from doce.errors import DoceError, RateLimited
from doce.web.pages.render import Renderer

#: What happened, in two or three words, above the sentence that says it whole.
HEADINGS = {400: "That did not work", 401: "Not signed in", 403: "Not yours to see", 404: "Not here", 409: "Not now", 429: "Too fast"}


def problem(renderer: Renderer, error: DoceError) -> Response:
    """`error` as a page."""
    heading = HEADINGS.get(error.status, "Something broke" if error.status == 500 else "Not available")
    answer = renderer.page(
        "error.html", error.status, me=None, heading=heading, message=error.message, hint=error.hint, status_code=error.status
    )
    if isinstance(error, RateLimited):
        answer.headers["retry-after"] = str(error.retry_after_s)
    return answer
