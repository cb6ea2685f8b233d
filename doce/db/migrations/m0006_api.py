"""Providers that an admin has set up: where each is, and its key, encrypted."""

from __future__ import annotations

import peewee


def up(db: peewee.SqliteDatabase) -> None:
    db.execute_sql(
        "CREATE TABLE provider_keys (name TEXT PRIMARY KEY, base_url TEXT NOT NULL, sealed TEXT, set_by TEXT, "
        "created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL) WITHOUT ROWID"
    )
