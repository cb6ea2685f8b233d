"""Workspaces that doce is installed in, with what it may do there. Tokens are kept encrypted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from doce.auth.secrets import SecretKey
from doce.clock import Clock
from doce.db.connection import database
from doce.db.models import ChatInstallation


@dataclass(frozen=True, slots=True)
class Installation:
    """doce in a workspace: who it is there, and its token."""

    kind: str
    team: str
    name: str
    bot_user: str
    bot_id: str
    app_id: str
    scopes: tuple[str, ...]
    token: SecretStr
    #: chat user
    installed_by: str | None = None


class Installations:
    """Finds and changes."""

    def __init__(self, key: SecretKey, clock: Clock) -> None:
        self._key = key
        self._clock = clock
        #: Another number after each change: what was read before it may be out of date.
        self.version = 0

    def save(self, made: Installation) -> None:
        """Installed, or installed again."""
        now = self._clock.now_ms()
        with database.atomic():
            before = ChatInstallation.get_or_none(ChatInstallation.kind == made.kind, ChatInstallation.team == made.team)
            ChatInstallation.insert(
                kind=made.kind, team=made.team, name=made.name, bot_user=made.bot_user, bot_id=made.bot_id, app_id=made.app_id,
                scopes=",".join(made.scopes), sealed=self._key.sealed(made.token, _purpose(made.kind, made.team)),
                installed_by=made.installed_by, created_at=before.created_at if before else now, updated_at=now,
            ).on_conflict("REPLACE").execute()  # fmt: skip
            database.after_commit(self._changed)

    def of(self, kind: str, team: str) -> Installation | None:
        row = ChatInstallation.get_or_none(ChatInstallation.kind == kind, ChatInstallation.team == team)
        return self._opened(row) if row else None

    def list(self, kind: str) -> list[Installation]:
        return [self._opened(row) for row in ChatInstallation.select().where(ChatInstallation.kind == kind).order_by(ChatInstallation.team)]

    def remove(self, kind: str, team: str) -> bool:
        """It was uninstalled there. False when it was not known."""
        with database.atomic():
            database.after_commit(self._changed)
            return bool(ChatInstallation.delete().where(ChatInstallation.kind == kind, ChatInstallation.team == team).execute())

    def _changed(self) -> None:
        self.version += 1

    def _opened(self, row: Any) -> Installation:
        token = self._key.opened(row.sealed, _purpose(row.kind, row.team))
        scopes = tuple(scope for scope in row.scopes.split(",") if scope)
        return Installation(row.kind, row.team, row.name, row.bot_user, row.bot_id, row.app_id, scopes, token, row.installed_by)


def _purpose(kind: str, team: str) -> str:
    return f"chat:{kind}:{team}"
