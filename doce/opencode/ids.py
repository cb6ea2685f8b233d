"""Message ids in OpenCode's own ascending form: ``msg_`` + 12 hex digits of time and counter + 14 random characters.

The 12 digits are the low 48 bits of ``epoch_ms * 4096 + counter``; OpenCode's counter starts at 1 in each millisecond.
OpenCode answers the last user message only while its id sorts before the ids of its answers, so ours must sort after
everything that is there and before what OpenCode makes next.
"""

from __future__ import annotations

import random
import string

_BITS = 1 << 48
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase


def mint_message_id(now_ms: int, last_id: str | None = None, rng: random.Random | None = None) -> str:
    """An id for a new user message, after `last_id` (the newest message of the session) and before OpenCode's next.

    Counter 0 sorts before any id that OpenCode makes in the same millisecond.
    """
    moment = (now_ms * 4096) % _BITS
    last = id_moment(last_id) if last_id else None
    # The 48 bits wrap every 795 days; a last id "far ahead" is one from before the wrap.
    if last is not None and moment <= last < moment + _BITS // 2:
        moment = (last + 1) % _BITS
    rng = rng or random.SystemRandom()
    return f"msg_{moment:012x}" + "".join(rng.choice(_ALPHABET) for _ in range(14))


def id_moment(identifier: str) -> int | None:
    """The time-and-counter number inside any ascending OpenCode id (msg_, prt_, evt_), None for another form."""
    _, _, body = identifier.partition("_")
    try:
        return int(body[:12], 16) if len(body) >= 12 else None
    except ValueError:
        return None
