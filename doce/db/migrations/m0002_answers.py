"""Answers kept for callers that ask again, by their `Idempotency-Key`."""

from __future__ import annotations

import peewee

TABLES = """
CREATE TABLE answers (
    user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE, key TEXT NOT NULL, asked TEXT NOT NULL, answer TEXT NOT NULL,
    at INTEGER NOT NULL, PRIMARY KEY (user_id, key)
) WITHOUT ROWID;
CREATE INDEX answer_age ON answers(at);
"""


def up(db: peewee.SqliteDatabase) -> None:
    for statement in TABLES.split(";\n"):
        if statement.strip():
            db.execute_sql(statement)
