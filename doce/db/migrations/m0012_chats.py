"""Chats: who installed doce where, threads that show a project, what was posted in them, and each thing said there, claimed once."""

from __future__ import annotations

import peewee

TABLES = (
    "CREATE TABLE chat_installations (kind TEXT NOT NULL, team TEXT NOT NULL, name TEXT NOT NULL, bot_user TEXT NOT NULL, "
    "bot_id TEXT NOT NULL, app_id TEXT NOT NULL, scopes TEXT NOT NULL, sealed TEXT NOT NULL, installed_by TEXT, "
    "created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, PRIMARY KEY (kind, team)) WITHOUT ROWID",
    "CREATE TABLE chat_claims (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, team TEXT NOT NULL, channel TEXT NOT NULL, "
    "key TEXT NOT NULL, lane TEXT NOT NULL, place TEXT NOT NULL, payload TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL, "
    "outcome TEXT, at INTEGER NOT NULL, done_at INTEGER)",
    "CREATE UNIQUE INDEX chat_claim_once ON chat_claims(kind, team, channel, key)",
    "CREATE INDEX chat_claim_waiting ON chat_claims(lane, place) WHERE state = 'waiting'",
    "CREATE INDEX chat_claim_age ON chat_claims(done_at) WHERE done_at IS NOT NULL",
    "CREATE TABLE chat_threads (id TEXT PRIMARY KEY, kind TEXT NOT NULL, team TEXT NOT NULL, channel TEXT NOT NULL, root TEXT, "
    "project_id TEXT NOT NULL REFERENCES projects(id) ON DELETE CASCADE, user_id TEXT NOT NULL, external_user TEXT NOT NULL, "
    "cursor INTEGER NOT NULL, muted INTEGER NOT NULL, closed_at INTEGER, created_at INTEGER NOT NULL)",
    "CREATE UNIQUE INDEX chat_thread_place ON chat_threads(kind, team, channel, root) WHERE root IS NOT NULL",
    "CREATE INDEX chat_thread_project ON chat_threads(project_id)",
    "CREATE TABLE chat_prompts (prompt_id TEXT PRIMARY KEY REFERENCES prompts(id) ON DELETE CASCADE, "
    "thread_id TEXT NOT NULL REFERENCES chat_threads(id) ON DELETE CASCADE, ts TEXT, external_user TEXT NOT NULL) WITHOUT ROWID",
    "CREATE INDEX chat_prompt_thread ON chat_prompts(thread_id)",
    "CREATE TABLE chat_messages (id TEXT PRIMARY KEY, thread_id TEXT NOT NULL REFERENCES chat_threads(id) ON DELETE CASCADE, "
    "about TEXT NOT NULL, part INTEGER NOT NULL, mode TEXT NOT NULL, state TEXT NOT NULL, ts TEXT, covered INTEGER NOT NULL, "
    "created_at INTEGER NOT NULL)",
    "CREATE UNIQUE INDEX chat_message_once ON chat_messages(thread_id, about, part)",
    "CREATE TABLE chat_channels (kind TEXT NOT NULL, team TEXT NOT NULL, channel TEXT NOT NULL, "
    "project_id TEXT REFERENCES projects(id) ON DELETE SET NULL, mention INTEGER NOT NULL, allowed TEXT NOT NULL, "
    "updated_at INTEGER NOT NULL, PRIMARY KEY (kind, team, channel)) WITHOUT ROWID",
)


def up(db: peewee.SqliteDatabase) -> None:
    for statement in TABLES:
        db.execute_sql(statement)
