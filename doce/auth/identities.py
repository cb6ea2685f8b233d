"""Chat users who are users here. A link is made by a code: shown where the person is signed in, said where they chat."""

from __future__ import annotations

import builtins
import hashlib
import secrets
from dataclasses import dataclass

from doce.auth.users import Person
from doce.clock import Clock
from doce.db.connection import database
from doce.db.ids import new_id
from doce.db.models import Identity, LinkCode, User
from doce.errors import BadRequest, NotFound

#: How long a code can be used, ms.
LIFE_MS = 10 * 60_000
#: Letters that are not taken for each other.
ALPHABET = "ABCDEFGHJKMNPQRSTVWXYZ23456789"
LENGTH = 10


@dataclass(frozen=True, slots=True)
class Linked:
    """Somebody of a chat. Times are epoch ms."""

    id: str
    kind: str
    team: str
    external_id: str
    name: str
    created_at: int


class Identities:
    """Finds, makes and removes links."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def who(self, kind: str, team: str, external_id: str) -> Person | None:
        """The user that somebody of a chat is; None while they are not linked."""
        row = (
            User.select(User.id, User.name, User.role)
            .join(Identity, on=Identity.user_id == User.id)
            .where(Identity.kind == kind, Identity.team == team, Identity.external_id == external_id, User.deleted_at.is_null())
            .tuples()
            .first()
        )
        return Person(*row) if row else None

    def link_code(self, user_id: str) -> tuple[str, int]:
        """(a code that makes somebody of a chat this user, once and within ten minutes; when it runs out, epoch ms)."""
        code, until = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH)), self._clock.now_ms() + LIFE_MS
        with database.atomic():
            LinkCode.delete().where((LinkCode.user_id == user_id) | (LinkCode.expires_at <= self._clock.now_ms())).execute()
            LinkCode.create(hash=_hash(code), user_id=user_id, expires_at=until)
        return f"{code[:5]}-{code[5:]}", until

    def redeem(self, code: str, kind: str, team: str, external_id: str, name: str = "") -> Person:
        """Link somebody of a chat to whom the code was shown. Raises BadRequest for a code that is wrong, used or too old."""
        with database.atomic():
            row = LinkCode.get_or_none(LinkCode.hash == _hash(code), LinkCode.expires_at > self._clock.now_ms())
            if row is None:
                raise BadRequest("This code is wrong, used or older than ten minutes.", hint="Get a new one: `doce identities link`.")
            LinkCode.delete().where(LinkCode.hash == row.hash).execute()
            Identity.delete().where(Identity.kind == kind, Identity.team == team, Identity.external_id == external_id).execute()
            Identity.create(
                id=new_id("idn"), user_id=row.user_id, kind=kind, team=team, external_id=external_id, name=name[:100],
                created_at=self._clock.now_ms(),
            )  # fmt: skip
        person = self.who(kind, team, external_id)
        assert person
        return person

    def list(self, user_id: str) -> list[Linked]:
        """The newest first."""
        rows = Identity.select().where(Identity.user_id == user_id).order_by(Identity.id.desc())
        return [Linked(row.id, row.kind, row.team, row.external_id, row.name, row.created_at) for row in rows]

    def of_chat(self, kind: str) -> builtins.list[Linked]:
        """Everybody of a chat who is somebody here."""
        rows = Identity.select().join(User, on=Identity.user_id == User.id).where(Identity.kind == kind, User.deleted_at.is_null())
        return [Linked(row.id, row.kind, row.team, row.external_id, row.name, row.created_at) for row in rows]

    def remove(self, user_id: str, identity_id: str) -> None:
        """Raises NotFound."""
        if not Identity.delete().where(Identity.id == identity_id, Identity.user_id == user_id).execute():
            raise NotFound("There is no such link.", hint="`doce identities list` shows yours.")


def _hash(code: str) -> str:
    plain = "".join(letter for letter in code.upper() if letter in ALPHABET)
    return hashlib.sha256(plain.encode()).hexdigest()
