"""The one error tree. Every door (HTTP, CLI, chat, notebook) shows the same code, message and hint.

The docstring of a class is its default message, as in procrastinate.
"""

from __future__ import annotations

from typing import Any, ClassVar


class DoceError(Exception):
    """Something went wrong inside doce."""

    code: ClassVar[str] = "INTERNAL_SERVER_ERROR"
    status: ClassVar[int] = 500

    def __init__(self, message: str | None = None, *, hint: str | None = None, details: dict[str, Any] | None = None) -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        #: What the person can do next, one sentence.
        self.hint = hint
        #: Machine-readable facts, safe to show.
        self.details = details
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message

    def as_dict(self) -> dict[str, Any]:
        """The one shape: ``{"error": {"code", "message", "hint"?, "details"?}}``."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.hint:
            error["hint"] = self.hint
        if self.details:
            error["details"] = self.details
        return {"error": error}


class Unauthorized(DoceError):
    """You are not signed in."""

    code = "UNAUTHORIZED"
    status = 401


class SetupRequired(DoceError):
    """doce has no user yet."""

    code = "SETUP_REQUIRED"
    status = 401


class BadRequest(DoceError):
    """The request is not valid."""

    code = "BAD_REQUEST"
    status = 400


class Forbidden(DoceError):
    """You are not allowed to do this."""

    code = "FORBIDDEN"
    status = 403


class NotFound(DoceError):
    """There is no such thing."""

    code = "NOT_FOUND"
    status = 404


class Conflict(DoceError):
    """That clashes with what is there."""

    code = "CONFLICT"
    status = 409


class PayloadTooLarge(DoceError):
    """That is too large."""

    code = "PAYLOAD_TOO_LARGE"
    status = 413


class RateLimited(DoceError):
    """Too many requests."""

    code = "RATE_LIMITED"
    status = 429

    def __init__(self, message: str | None = None, *, retry_after_s: int = 60, hint: str | None = None) -> None:
        super().__init__(message, hint=hint or f"Try again in {retry_after_s} seconds.", details={"retryAfter": retry_after_s})
        self.retry_after_s = retry_after_s


class Unavailable(DoceError):
    """Something doce needs is not answering."""

    code = "UNAVAILABLE"
    status = 503


class InternalServerError(DoceError):
    """Something broke on doce's side. Your files are safe."""


def all_errors() -> list[type[DoceError]]:
    """Every class of the tree with a code of its own, for docs and OpenAPI."""
    return [DoceError, *sorted((c for c in DoceError.__subclasses__() if "code" in vars(c)), key=lambda c: (c.status, c.code))]
