"""Browsers that are signed in. The cookie holds 32 random bytes, the database their SHA-256."""

from __future__ import annotations

import hashlib
import secrets

from pydantic import SecretStr

from doce.auth.users import Person
from doce.clock import Clock
from doce.db.connection import database
from doce.db.models import Session

COOKIE = "doce_session"
LIFE_MS = 30 * 24 * 3600 * 1000


class Sessions:
    """Begins, finds and ends them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def begin(self, user_id: str) -> SecretStr:
        """A session of 30 days; returns what the cookie holds."""
        secret, now = secrets.token_urlsafe(32), self._clock.now_ms()
        Session.create(hash=_hash(secret), user_id=user_id, created_at=now, expires_at=now + LIFE_MS)
        return SecretStr(secret)

    def who(self, secret: str) -> Person | None:
        """Whose session this is; None for one that is over. Only reads."""
        sql = """
            SELECT person.id, person.name, person.role FROM sessions session JOIN users person ON person.id = session.user_id
             WHERE session.hash = ? AND session.expires_at > ?
        """
        row = database.execute_sql(sql, (_hash(secret), self._clock.now_ms())).fetchone()
        return Person(*row) if row else None

    def end(self, secret: str) -> None:
        """Sign out; one that is over is fine."""
        Session.delete().where(Session.hash == _hash(secret)).execute()

    def end_all(self, user_id: str, but: str | None = None) -> int:
        """Sign out everywhere, `but` in this session. Returns how many ended."""
        ended = Session.delete().where(Session.user_id == user_id, Session.hash != (_hash(but) if but else ""))
        return int(ended.execute())

    def sweep(self) -> int:
        """Remove what has run out."""
        return int(Session.delete().where(Session.expires_at <= self._clock.now_ms()).execute())


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
