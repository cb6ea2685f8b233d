"""Where in the event log a prompt begins, so that whoever follows one need not read what came before it."""

from __future__ import annotations

import peewee


def up(db: peewee.SqliteDatabase) -> None:
    db.execute_sql("ALTER TABLE prompts ADD COLUMN seq INTEGER NOT NULL DEFAULT 0")
    db.execute_sql(
        "UPDATE prompts SET seq = coalesce((SELECT min(e.seq) FROM events e WHERE e.project_id = prompts.project_id "
        "AND e.prompt_id = prompts.id AND e.type = 'chat.prompt.queued'), 0)"
    )
