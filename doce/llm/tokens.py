"""Gateway tokens: what an agent holds instead of a provider's key. It opens the gateway for one project, while it runs.

Derived from doce's key file, so the same after a restart, and nothing secret is stored: the row only says which
generation is valid.
"""

from __future__ import annotations

import hmac

from pydantic import SecretStr

from doce.auth.secrets import SecretKey
from doce.clock import Clock
from doce.db.connection import database
from doce.db.models import GatewayToken

PREFIX = "dgw"


class GatewayTokens:
    """Grants, checks and revokes."""

    def __init__(self, key: SecretKey, clock: Clock) -> None:
        self._key = key
        self._clock = clock

    def grant(self, project_id: str) -> None:
        """From now on the project has a valid token; one that has keeps it."""
        with database.atomic():
            row = GatewayToken.get_or_none(GatewayToken.project_id == project_id)
            if row is None:
                GatewayToken.create(project_id=project_id, generation=1, created_at=self._clock.now_ms())
            elif row.revoked_at is not None:
                again = {GatewayToken.generation: row.generation + 1, GatewayToken.revoked_at: None}
                GatewayToken.update(again).where(GatewayToken.project_id == project_id).execute()

    def granted(self, *, but: str) -> int:
        """How many projects beside `but` have a valid token and are not at rest: those that may run right now."""
        sql = """
            SELECT count(*) FROM gateway_tokens t JOIN projects p ON p.id = t.project_id
             WHERE t.revoked_at IS NULL AND p.deleted_at IS NULL AND p.id <> ? AND p.status IN ('starting', 'running', 'stopping')
        """
        return int(database.execute_sql(sql, (but,)).fetchone()[0])

    def current(self, project_id: str) -> SecretStr:
        """The project's token, valid or not."""
        row = GatewayToken.get_or_none(GatewayToken.project_id == project_id)
        return SecretStr(self._token(project_id, row.generation if row else 0))

    def revoke(self, project_id: str) -> None:
        """The project's token opens nothing any more."""
        GatewayToken.update(revoked_at=self._clock.now_ms()).where(
            GatewayToken.project_id == project_id, GatewayToken.revoked_at.is_null()
        ).execute()

    def verify(self, token: str) -> str | None:
        """The project whose valid token this is."""
        parts = token.split("-")
        if len(parts) != 4 or parts[0] != PREFIX:
            return None
        project_id = parts[1]
        row = GatewayToken.get_or_none(GatewayToken.project_id == project_id, GatewayToken.revoked_at.is_null())
        expected = self._token(project_id, row.generation if row else 0)
        return project_id if hmac.compare_digest(token.encode(), expected.encode()) and row else None

    def agent_password(self, project_id: str) -> SecretStr:
        """What doce shows to the project's OpenCode server."""
        return SecretStr(self._key.derive(f"agent:{project_id}"))

    def _token(self, project_id: str, generation: int) -> str:
        return f"{PREFIX}-{project_id}-{generation}-{self._key.derive(f'gateway:{project_id}:{generation}')}"
