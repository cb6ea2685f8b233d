"""Releases, and what a project has live."""

from __future__ import annotations

import peewee

STATEMENTS = (
    """
    CREATE TABLE releases (
        id TEXT PRIMARY KEY, project_id TEXT NOT NULL REFERENCES projects(id), version INTEGER NOT NULL, hash TEXT NOT NULL,
        digest TEXT NOT NULL, snapshot TEXT NOT NULL, files INTEGER NOT NULL, size INTEGER NOT NULL, created_at INTEGER NOT NULL,
        pruned_at INTEGER
    )
    """,
    "CREATE UNIQUE INDEX release_version ON releases(project_id, version)",
    "CREATE UNIQUE INDEX release_digest ON releases(project_id, digest)",
    "CREATE UNIQUE INDEX release_hash ON releases(project_id, hash)",
    "ALTER TABLE projects ADD COLUMN production_hash TEXT",
    "ALTER TABLE projects ADD COLUMN production_started_at INTEGER",
)


def up(db: peewee.SqliteDatabase) -> None:
    for statement in STATEMENTS:
        db.execute_sql(statement)
