"""Users and their API tokens."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import SecretStr

from doce.auth.passwords import hash_password, verify_password
from doce.clock import Clock
from doce.db.connection import database
from doce.db.ids import new_id
from doce.db.models import ApiToken, Identity, LinkCode, Project, ProjectMember, Session, User, UserSetting
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


@dataclass(frozen=True, slots=True)
class Account:
    """A user as an admin sees them. Times are epoch ms."""

    id: str
    name: str
    role: Role
    created_at: int
    #: can sign in in a browser
    has_password: bool


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
        return _person(self._row(user_id))

    def find(self, word: str) -> Person:
        """The user of this id or name. Raises NotFound."""
        cleaned = " ".join(word.split())
        row = User.get_or_none(((User.id == cleaned) | (User.name == cleaned)) & User.deleted_at.is_null())
        if row is None:
            raise NotFound(f"There is no user {cleaned[:100]!r}.", hint="`doce users list` shows those there are.")
        return _person(row)

    def list(self) -> list[Account]:
        """Everybody, the first user first."""
        rows = User.select().where(User.deleted_at.is_null()).order_by(User.id)
        return [Account(row.id, row.name, _role(row.role), row.created_at, row.password is not None) for row in rows]

    def sign_in(self, name: str, password: str) -> Person | None:
        """Who this is; None for an unknown name or another password, after the same time."""
        row = User.get_or_none(User.name == " ".join(name.split()), User.deleted_at.is_null())
        good = verify_password(password, row.password if row else None)
        return _person(row) if row and good else None

    def has_password(self, user_id: str, password: str) -> bool:
        return verify_password(password, self._row(user_id).password)

    def knows_password(self, user_id: str) -> bool:
        """There is one to sign in with."""
        return self._row(user_id).password is not None

    def set_password(self, user_id: str, password: str) -> None:
        """Raises BadRequest for one that is too short."""
        hashed = hash_password(password)
        User.update(password=hashed).where(User.id == self._row(user_id).id).execute()

    def change(self, user_id: str, *, name: str | None = None, role: Role | None = None) -> Person:
        """Another name or role. Raises Conflict for a name that is taken, and when nobody would be admin any more."""
        with database.atomic():
            row = self._row(user_id)
            if role == "member" and row.role == "admin":
                self._check_other_admin(user_id)
            if name is not None:
                cleaned = checked_name(name)
                if User.select().where(User.name == cleaned, User.id != user_id).exists():
                    raise Conflict(f"There is already a user {cleaned!r}.")
                row.name = cleaned
            row.role = role or row.role
            row.save(only=[User.name, User.role])
        return _person(row)

    def remove(self, user_id: str) -> None:
        """They are gone, with sessions, tokens, links and memberships. Raises Conflict while they own projects or are the last admin."""
        with database.atomic():
            row = self._row(user_id)
            if row.role == "admin":
                self._check_other_admin(user_id)
            owned = Project.select().where(Project.owner_user_id == user_id, Project.deleted_at.is_null()).count()
            if owned:
                raise Conflict(
                    f"{row.name} owns {owned} project{'s' if owned > 1 else ''}.",
                    hint="Give them to somebody else (`doce members transfer`) or delete them first.",
                )
            for table in (Session, ApiToken, Identity, LinkCode, ProjectMember, UserSetting):
                table.delete().where(table.user_id == user_id).execute()
            now = self._clock.now_ms()
            # The row stays for what they did; the name is free again.
            User.update(deleted_at=now, password=None, name=f"{row.name} ({user_id})").where(User.id == user_id).execute()

    def _row(self, user_id: str) -> User:
        row = User.get_or_none(User.id == user_id, User.deleted_at.is_null())
        if row is None:
            raise NotFound("There is no such user.")
        assert isinstance(row, User)
        return row

    def _check_other_admin(self, user_id: str) -> None:
        if not User.select().where(User.role == "admin", User.id != user_id, User.deleted_at.is_null()).exists():
            raise Conflict("This is the last admin.", hint="Make somebody else an admin first.")

    def _add(self, name: str, role: Role, hashed: str | None) -> Person:
        cleaned = checked_name(name)
        row = User.create(id=new_id("usr"), name=cleaned, role=role, password=hashed, created_at=self._clock.now_ms())
        return Person(row.id, row.name, role)


def checked_name(name: str) -> str:
    """Raises BadRequest for what is no name."""
    cleaned = " ".join(name.split())
    if not cleaned or len(cleaned) > 100 or not cleaned.isprintable():
        raise BadRequest("The name must have 1 to 100 printable characters.")
    return cleaned


def _role(word: str) -> Role:
    return "admin" if word == "admin" else "member"


def _person(row: User) -> Person:
    return Person(row.id, row.name, _role(row.role))


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
