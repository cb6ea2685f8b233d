"""The state that an installation carries to a chat and back: made here, for one person, for ten minutes. It is signed, not kept,
so that a doce that starts again in the middle knows it.
"""

from __future__ import annotations

import hmac
import secrets

from doce.auth.secrets import SecretKey
from doce.clock import Clock

#: How long an installation may take, ms.
STATE_MS = 600_000


class States:
    """Issues and takes back. The chat's code, which comes with a state, is good once; a state is, too, as long as doce lives."""

    def __init__(self, key: SecretKey, clock: Clock) -> None:
        self._key = key
        self._clock = clock
        #: What was used, by when it ends: after that nobody need remember it.
        self._used: dict[str, int] = {}

    def issue(self, user_id: str) -> str:
        """A new one for a person who begins."""
        said = f"{user_id}.{self._clock.now_ms() + STATE_MS}.{secrets.token_hex(8)}"
        return f"{said}.{self._sign(said)}"

    def owner(self, state: str) -> str | None:
        """Who began with it, also when it is over; None: it was not made here."""
        said, _, signature = state.rpartition(".")
        if not state.isascii() or not hmac.compare_digest(self._sign(said), signature):
            return None
        return said.split(".")[0]

    def use(self, state: str) -> bool:
        """Whether it is good: made here, in time, and not used before."""
        now = self._clock.now_ms()
        if self.owner(state) is None or state in self._used or (ends := int(state.split(".")[1])) < now:
            return False
        self._used = {one: until for one, until in self._used.items() if until >= now} | {state: ends}
        return True

    def _sign(self, said: str) -> str:
        return self._key.derive(f"chat.install:{said}")
