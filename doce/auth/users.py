"""Users and their API tokens."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import SecretStr

from doce.auth.passwords import hash_password
from doce.clock import Clock
from doce.db.connection import database
from doce.db.ids import new_id
from doce.db.models import ApiToken, User
from doce.errors import BadRequest, Conflict, NotFound

Role = Literal["admin", "member"]
TOKEN_PREFIX = "doce_"
#: `last_used_at` is written at most this often, ms: a look must not cost a write.
USED_EVERY_MS = 60_000


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is signed in."""

    id: str
    name: str
    role: Role

    @property
    def is_admin(self) -> bool:
        return self.role == "admin"


@dataclass(frozen=True, slots=True)
class Token:
    """An API token as it is shown: everything but its secret. Times are epoch ms."""

    id: str
    name: str
    created_at: int
    last_used_at: int | None


class Users:
    """The people of this doce."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def any(self) -> bool:
        """There is a user: doce has been set up."""
        return bool(User.select().exists())

    def first_admin(self, name: str, password: str | None = None) -> Person:
        """Make the first user, an admin. Of two calls at once, one does; the other raises Conflict."""
        hashed = hash_password(password) if password is not None else None
        with database.atomic():
            if self.any():
                raise Conflict("doce is already set up.", hint="Sign in, or ask an admin for an account.")
            return self._add(name, "admin", hashed)

    def add(self, name: str, role: Role, password: str | None = None) -> Person:
        """A further user. Raises Conflict when the name is taken."""
        hashed = hash_password(password) if password is not None else None
        with database.atomic():
            if User.select().where(User.name == " ".join(name.split())).exists():
                raise Conflict(f"There is already a user {name!r}.")
            return self._add(name, role, hashed)

    def get(self, user_id: str) -> Person:
        """Raises NotFound."""
        row = User.get_or_none(User.id == user_id)
        if row is None:
            raise NotFound("There is no such user.")
        return Person(row.id, row.name, "admin" if row.role == "admin" else "member")

    def _add(self, name: str, role: Role, hashed: str | None) -> Person:
        cleaned = " ".join(name.split())
        if not cleaned or len(cleaned) > 100 or not cleaned.isprintable():
            raise BadRequest("The name must have 1 to 100 printable characters.")
        row = User.create(id=new_id("usr"), name=cleaned, role=role, password=hashed, created_at=self._clock.now_ms())
        return Person(row.id, row.name, role)


class ApiTokens:
    """Bearer tokens for scripts and the command line; only their SHA-256 is stored."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def create(self, user_id: str, name: str) -> tuple[Token, SecretStr]:
        """A new token; its secret is shown this once."""
        cleaned = " ".join(name.split())
        if not cleaned or len(cleaned) > 100 or not cleaned.isprintable():
            raise BadRequest("The token's name must have 1 to 100 printable characters.", hint="Name it after what uses it.")
        secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
        row = ApiToken.create(id=new_id("tok"), user_id=user_id, name=cleaned, hash=_hash(secret), created_at=self._clock.now_ms())
        return Token(row.id, row.name, row.created_at, None), SecretStr(secret)

    def who(self, secret: str) -> Person | None:
        """Whose token this is; None for an unknown or revoked one. Notes that it was used."""
        row = self._row(secret)
        if row is None:
            return None
        if self._used_long_ago(row):
            ApiToken.update(last_used_at=self._clock.now_ms()).where(ApiToken.id == row[0]).execute()
        return Person(row[2], row[3], row[4])

    def glance(self, secret: str) -> Person | None:
        """As `who`, but None as well when a use would have to be noted: it only reads."""
        row = self._row(secret)
        return Person(row[2], row[3], row[4]) if row and not self._used_long_ago(row) else None

    def _row(self, secret: str) -> tuple[Any, ...] | None:
        """(token id, last used, user id, name, role)."""
        if not secret.startswith(TOKEN_PREFIX):
            return None
        sql = """
            SELECT token.id, token.last_used_at, person.id, person.name, person.role FROM api_tokens token
              JOIN users person ON person.id = token.user_id WHERE token.hash = ? AND token.revoked_at IS NULL
        """
        row: tuple[Any, ...] | None = database.execute_sql(sql, (_hash(secret),)).fetchone()
        return row

    def _used_long_ago(self, row: tuple[Any, ...]) -> bool:
        return self._clock.now_ms() - (row[1] or 0) > USED_EVERY_MS

    def list(self, user_id: str) -> list[Token]:
        """A user's tokens, newest first."""
        rows = ApiToken.select().where(ApiToken.user_id == user_id, ApiToken.revoked_at.is_null()).order_by(ApiToken.id.desc())
        return [Token(row.id, row.name, row.created_at, row.last_used_at) for row in rows]

    def revoke(self, user_id: str, token_id: str) -> None:
        """It opens nothing from now on. Raises NotFound."""
        mine = (ApiToken.id == token_id) & (ApiToken.user_id == user_id) & ApiToken.revoked_at.is_null()
        if not ApiToken.update(revoked_at=self._clock.now_ms()).where(mine).execute():
            raise NotFound("There is no such token.", hint="It may have been revoked already.")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
