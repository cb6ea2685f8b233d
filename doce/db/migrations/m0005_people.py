"""More than one person: sessions of browsers, members of projects, chat users, what each of them prefers."""

from __future__ import annotations

import peewee

TABLES = (
    "ALTER TABLE users ADD COLUMN deleted_at INTEGER",
    "CREATE TABLE sessions (hash TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE, "
    "created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE INDEX session_user ON sessions(user_id)",
    "CREATE INDEX session_age ON sessions(expires_at)",
    "CREATE TABLE project_members (project_id TEXT NOT NULL REFERENCES projects(id) ON DELETE CASCADE, "
    "user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE, role TEXT NOT NULL, created_at INTEGER NOT NULL, "
    "PRIMARY KEY (project_id, user_id)) WITHOUT ROWID",
    "CREATE INDEX member_user ON project_members(user_id)",
    "CREATE TABLE identities (id TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE, kind TEXT NOT NULL, "
    "team TEXT NOT NULL, external_id TEXT NOT NULL, name TEXT NOT NULL, created_at INTEGER NOT NULL)",
    "CREATE UNIQUE INDEX identity_who ON identities(kind, team, external_id)",
    "CREATE INDEX identity_user ON identities(user_id)",
    "CREATE TABLE link_codes (hash TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE, "
    "expires_at INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE user_settings (user_id TEXT PRIMARY KEY REFERENCES users(id) ON DELETE CASCADE, model TEXT, "
    "verbosity TEXT NOT NULL DEFAULT 'normal', notifications TEXT NOT NULL DEFAULT 'long', time_zone TEXT NOT NULL DEFAULT 'UTC') "
    "WITHOUT ROWID",
)


def up(db: peewee.SqliteDatabase) -> None:
    for statement in TABLES:
        db.execute_sql(statement)
