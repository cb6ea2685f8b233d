"""The first tables: people, projects, prompts, jobs, events."""

from __future__ import annotations

import peewee

TABLES = """
CREATE TABLE users (
    id TEXT PRIMARY KEY, name TEXT NOT NULL COLLATE NOCASE UNIQUE, password TEXT, role TEXT NOT NULL, created_at INTEGER NOT NULL
);
CREATE TABLE api_tokens (
    id TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE, name TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE, created_at INTEGER NOT NULL, last_used_at INTEGER, revoked_at INTEGER
);
CREATE TABLE instance_settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE projects (
    id TEXT PRIMARY KEY, owner_user_id TEXT NOT NULL REFERENCES users(id), name TEXT NOT NULL, slug TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '', prompt TEXT NOT NULL, template TEXT NOT NULL, status TEXT NOT NULL, step TEXT,
    error TEXT, error_hint TEXT, model TEXT NOT NULL, preview_port INTEGER, opencode_port INTEGER, path TEXT NOT NULL,
    bootstrap_session_id TEXT, production_port INTEGER, production_error TEXT,
    stopped_by_user INTEGER NOT NULL DEFAULT 0, last_viewed_at INTEGER,
    created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, deleted_at INTEGER
);
CREATE UNIQUE INDEX project_slug ON projects(slug) WHERE deleted_at IS NULL;
CREATE INDEX project_owner ON projects(owner_user_id, created_at) WHERE deleted_at IS NULL;
CREATE TABLE prompts (
    id TEXT PRIMARY KEY, project_id TEXT NOT NULL REFERENCES projects(id), user_id TEXT REFERENCES users(id),
    session_id TEXT, text TEXT NOT NULL, model TEXT, state TEXT NOT NULL, position INTEGER NOT NULL, message_id TEXT UNIQUE,
    error TEXT, stopped_by TEXT, stop_requested_at INTEGER, created_at INTEGER NOT NULL, sent_at INTEGER, finished_at INTEGER
);
CREATE INDEX prompt_queue ON prompts(project_id, position) WHERE state = 'queued';
CREATE UNIQUE INDEX prompt_active ON prompts(project_id) WHERE state IN ('sending', 'sent');
CREATE INDEX prompt_project ON prompts(project_id, created_at);
CREATE TABLE attachments (
    id TEXT PRIMARY KEY, project_id TEXT NOT NULL REFERENCES projects(id), prompt_id TEXT REFERENCES prompts(id),
    name TEXT NOT NULL, mime TEXT NOT NULL, size INTEGER NOT NULL, created_at INTEGER NOT NULL
);
CREATE TABLE usage (
    id INTEGER PRIMARY KEY AUTOINCREMENT, project_id TEXT NOT NULL, prompt_id TEXT, user_id TEXT, provider TEXT NOT NULL,
    model TEXT NOT NULL, purpose TEXT NOT NULL DEFAULT 'turn', input_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0, cached_tokens INTEGER NOT NULL DEFAULT 0, cost REAL NOT NULL DEFAULT 0,
    estimated INTEGER NOT NULL DEFAULT 0, at INTEGER NOT NULL
);
CREATE INDEX usage_project ON usage(project_id, at);
CREATE INDEX usage_prompt ON usage(prompt_id);
CREATE TABLE gateway_tokens (
    project_id TEXT PRIMARY KEY, generation INTEGER NOT NULL, revoked_at INTEGER, created_at INTEGER NOT NULL
);
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, state TEXT NOT NULL, project_id TEXT, user_id TEXT,
    payload TEXT NOT NULL, priority INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
    max_attempts INTEGER NOT NULL DEFAULT 3, polls INTEGER NOT NULL DEFAULT 0, run_at INTEGER NOT NULL,
    locked_by TEXT, lease_expires_at INTEGER, dedupe_key TEXT, cancel_requested_at INTEGER, last_error TEXT,
    created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, started_at INTEGER, finished_at INTEGER
);
CREATE INDEX job_ready ON jobs(priority DESC, run_at, id) WHERE state = 'queued';
CREATE UNIQUE INDEX job_one_running ON jobs(project_id) WHERE state = 'running';
CREATE UNIQUE INDEX job_dedupe ON jobs(dedupe_key) WHERE state IN ('queued', 'running');
CREATE INDEX job_project ON jobs(project_id, id);
CREATE TABLE job_logs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, job_id INTEGER NOT NULL REFERENCES jobs(id) ON DELETE CASCADE,
    level TEXT NOT NULL, message TEXT NOT NULL, at INTEGER NOT NULL
);
CREATE INDEX job_log_job ON job_logs(job_id, id);
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, project_id TEXT, type TEXT NOT NULL, session_id TEXT, prompt_id TEXT,
    payload TEXT NOT NULL, source_key TEXT, at INTEGER NOT NULL
);
CREATE UNIQUE INDEX event_source ON events(project_id, source_key) WHERE source_key IS NOT NULL;
CREATE INDEX event_project ON events(project_id, seq);
CREATE INDEX event_type ON events(project_id, type, seq);
CREATE TABLE leases (name TEXT PRIMARY KEY, holder TEXT NOT NULL, expires_at INTEGER NOT NULL);
CREATE TABLE ports (
    port INTEGER PRIMARY KEY, project_id TEXT NOT NULL, service TEXT NOT NULL, created_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX port_service ON ports(project_id, service);
"""


def up(db: peewee.SqliteDatabase) -> None:
    # Statement by statement: executescript would commit the surrounding transaction.
    for statement in TABLES.split(";\n"):
        if statement.strip():
            db.execute_sql(statement)
