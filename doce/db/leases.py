"""Leases: a row that says who does something, so that two processes do not both do it."""

from __future__ import annotations

from doce.db.connection import database


def hold(name: str, holder: str, *, now_ms: int, ttl_ms: int) -> bool:
    """Take or renew the lease `name`. False while somebody else's has not run out."""
    sql = """
        INSERT INTO leases (name, holder, expires_at) VALUES (?, ?, ?)
        ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
        WHERE leases.holder = excluded.holder OR leases.expires_at <= ?
    """
    with database.atomic():
        return bool(database.execute_sql(sql, (name, holder, now_ms + ttl_ms, now_ms)).rowcount)


def holder(name: str, *, now_ms: int) -> str | None:
    """Who holds `name`."""
    row = database.execute_sql("SELECT holder FROM leases WHERE name = ? AND expires_at > ?", (name, now_ms)).fetchone()
    return str(row[0]) if row else None


def release(name: str, holder: str) -> None:
    """Give `name` back, if it is `holder`'s."""
    with database.atomic():
        database.execute_sql("DELETE FROM leases WHERE name = ? AND holder = ?", (name, holder))


def take_over(name: str, holder: str, *, now_ms: int, ttl_ms: int) -> None:
    """Take `name` from a holder that is known to be gone."""
    sql = "INSERT INTO leases (name, holder, expires_at) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET holder = ?, expires_at = ?"
    with database.atomic():
        database.execute_sql(sql, (name, holder, now_ms + ttl_ms, holder, now_ms + ttl_ms))
