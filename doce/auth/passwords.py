"""Passwords: scrypt with its parameters in front of the hash, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import os
import threading

from doce.errors import BadRequest

N, R, P = 2**15, 8, 1
SALT_BYTES, KEY_BYTES = 16, 64
#: 2^15 needs 32 MiB; OpenSSL refuses without room to spare.
MAX_MEMORY = 64 * 1024 * 1024
MIN_LENGTH, MAX_LENGTH = 8, 1024

#: Each hash takes 32 MiB and 75 ms of a core: a flood of sign-ins must not take the machine.
_at_once = threading.Semaphore(2)


def hash_password(password: str) -> str:
    """``scrypt$n$r$p$salt:derivedKey``, the last two in hex. Raises BadRequest for one that is too short or long."""
    if len(password) < MIN_LENGTH:
        raise BadRequest(f"The password has {len(password)} characters; {MIN_LENGTH} is the least.")
    if len(password) > MAX_LENGTH:
        raise BadRequest(f"The password has more than {MAX_LENGTH} characters.")
    salt = os.urandom(SALT_BYTES)
    return f"scrypt${N}${R}${P}${salt.hex()}:{_derive(password, salt, N, R, P).hex()}"


def verify_password(password: str, stored: str | None) -> bool:
    """Whether `password` made `stored`. With none stored it takes the same time, so nobody learns which users there are."""
    _, n, r, p, hashed = (stored or _NOBODY).split("$")
    salt, _, key = hashed.partition(":")
    made = _derive(password[:MAX_LENGTH], bytes.fromhex(salt), int(n), int(r), int(p))
    return hmac.compare_digest(made, bytes.fromhex(key)) and stored is not None and len(password) <= MAX_LENGTH


_NOBODY = f"scrypt${N}${R}${P}${'00' * SALT_BYTES}:{'00' * KEY_BYTES}"


def _derive(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    with _at_once:
        return hashlib.scrypt(password.encode("utf-8", "surrogatepass"), salt=salt, n=n, r=r, p=p, maxmem=MAX_MEMORY, dklen=KEY_BYTES)
