"""What goes wrong with the calls of the Web API, when a test asks for it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One call's misfortune. `took_effect`: the method was carried out before things went wrong, so that a retry would do it twice."""

    status: int = 200
    error: str = ""
    retry_after: int = 0
    #: Seconds without an answer; the call then goes its way.
    hang: float = 0.0
    #: The connection is torn down in place of an answer.
    reset: bool = False
    took_effect: bool = False


def server_error(status: int = 500, *, took_effect: bool = False) -> Fault:
    """Slack itself is ill."""
    return Fault(status=status, took_effect=took_effect)


def reset(*, took_effect: bool = True) -> Fault:
    """The connection breaks, by default after the call was carried out."""
    return Fault(reset=True, took_effect=took_effect)


def hang(seconds: float) -> Fault:
    """No answer for so long, and then the usual one."""
    return Fault(hang=seconds, took_effect=True)


def limited(seconds: int = 1) -> Fault:
    """429, whatever was called before."""
    return Fault(status=429, error="ratelimited", retry_after=seconds)


def refused(code: str) -> Fault:
    """This error code."""
    return Fault(error=code)


class Faults:
    """By method, for the calls that come next."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Fault]] = {}

    def add(self, method: str, fault: Fault, times: int = 1) -> None:
        self._waiting.setdefault(method, deque()).extend([fault] * times)

    def next(self, method: str) -> Fault | None:
        waiting = self._waiting.get(method)
        return waiting.popleft() if waiting else None

    def clear(self) -> None:
        self._waiting.clear()
