"""The index of events by type leaves out the floods: what nobody looks for by type need not cost every commit a page."""

from __future__ import annotations

import peewee


def up(db: peewee.SqliteDatabase) -> None:
    db.execute_sql("DROP INDEX event_type")
    db.execute_sql(
        "CREATE INDEX event_type ON events(project_id, type, seq) "
        "WHERE type NOT IN ('job.state', 'chat.message.part.added', 'chat.reasoning.part')"
    )
