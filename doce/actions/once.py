"""Doing a thing once, however often it is asked: a caller that lost the answer asks again under the same key and gets it.

The answer is kept in the transaction of the deed, so that after a crash both are there or neither, and of two that ask
at once the second waits for the first. What was refused is not kept: it may be asked again under the same key.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from doce.actions.registry import Action, Call, Input
from doce.db import answers
from doce.db.answers import Kept
from doce.db.connection import database
from doce.errors import BadRequest, Conflict

HEADER = "Idempotency-Key"
KEPT_MS = 24 * 60 * 60 * 1000
MAX_KEY = 255


def for_key(chosen: Action, key: str) -> Action:
    """`chosen`, done once for each person and `key`; a repeat within a day is answered as the first time.

    Raises BadRequest for a key that is none; what is made raises Conflict for a key that was used to ask something else.
    """
    if not key.isascii() or not key.isprintable() or not 1 <= len(key) <= MAX_KEY:
        raise BadRequest(
            f"{HEADER} must have 1 to {MAX_KEY} printable ASCII characters.",
            hint="A random UUID is a good one.", details={"field": HEADER},
        )  # fmt: skip

    def run(call: Call, given: Input) -> Any:
        asked, now = _digest(chosen, given), call.services.clock.now_ms()
        # Providers are asked for their models here: never while the database is locked.
        call.services.catalog.models()
        with database.atomic():
            answers.forget(now - KEPT_MS)
            kept = answers.find(call.user.id, key)
            if kept is None:
                answer = chosen.run(call, given)
                answers.keep(call.user.id, key, Kept(asked, answer.model_dump_json(by_alias=True)), at=now)
                return answer
        if kept.asked != asked:
            raise Conflict(f"This {HEADER} was used to ask for something else.", hint="Take a new key for a new request.")
        return chosen.output.model_validate_json(kept.answer)

    return replace(chosen, run=run)


def _digest(chosen: Action, given: Input) -> str:
    return hashlib.sha256(f"{chosen.name} {given.model_dump_json()}".encode()).hexdigest()
