"""Who is watching which project, and when services ended by themselves."""

from __future__ import annotations

import peewee

TABLES = """
CREATE TABLE viewers (
    project_id TEXT NOT NULL REFERENCES projects(id) ON DELETE CASCADE, viewer_id TEXT NOT NULL, user_id TEXT, door TEXT NOT NULL,
    seen_at INTEGER NOT NULL, PRIMARY KEY (project_id, viewer_id)
) WITHOUT ROWID;
CREATE INDEX viewer_age ON viewers(seen_at);
CREATE TABLE deaths (
    id INTEGER PRIMARY KEY, project_id TEXT NOT NULL REFERENCES projects(id) ON DELETE CASCADE, service TEXT NOT NULL, at INTEGER NOT NULL
);
CREATE INDEX death_of ON deaths(project_id, service, at);
"""


def up(db: peewee.SqliteDatabase) -> None:
    for statement in TABLES.split(";\n"):
        if statement.strip():
            db.execute_sql(statement)
