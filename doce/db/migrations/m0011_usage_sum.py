"""What a project used is summed with every look at it: from the index alone."""

from __future__ import annotations

import peewee


def up(db: peewee.SqliteDatabase) -> None:
    db.execute_sql("CREATE INDEX usage_sum ON usage(project_id, input_tokens, output_tokens, cost)")
