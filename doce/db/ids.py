"""Ids of rows: a prefix that says what it is, then time and randomness, so that they sort by age."""

from __future__ import annotations

import secrets
import time

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def new_id(prefix: str) -> str:
    """``prj_`` + 8 base-36 digits of milliseconds + 6 random ones; safe in file, container and host names."""
    return f"{prefix}_{_base36(time.time_ns() // 1_000_000, 8)}{''.join(secrets.choice(_DIGITS) for _ in range(6))}"


def _base36(number: int, width: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = _DIGITS[rest] + digits
    return digits.rjust(width, "0")
