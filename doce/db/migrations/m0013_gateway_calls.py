"""Calls of models that are under way: what is left of them when doce is killed has been paid for, too."""

from __future__ import annotations

import peewee


def up(db: peewee.SqliteDatabase) -> None:
    db.execute_sql(
        "CREATE TABLE gateway_calls (id TEXT PRIMARY KEY, project_id TEXT NOT NULL REFERENCES projects(id) ON DELETE CASCADE, "
        "prompt_id TEXT, model TEXT NOT NULL, input_tokens INTEGER NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID"
    )
