"""Reads that are made again and again, in plain SQL: building a query costs peewee ten times what SQLite takes to answer it."""

from __future__ import annotations

import json
from typing import Any

from doce.db.connection import database

#: Columns of a project that are shown as they are.
PLAIN = (
    "id", "owner_user_id", "name", "slug", "description", "prompt", "template", "status", "step", "error", "error_hint", "model",
    "preview_port", "opencode_port", "path", "bootstrap_session_id", "stopped_by_user", "last_viewed_at", "created_at", "updated_at",
)  # fmt: skip

_PROJECT = f"""
    SELECT {", ".join(f"p.{name}" for name in PLAIN)},
           (SELECT json_array(q.message_id, q.state) FROM prompts q WHERE q.project_id = p.id ORDER BY q.created_at, q.id LIMIT 1) AS first,
           (SELECT count(*) FROM prompts q WHERE q.project_id = p.id AND q.state = 'queued') AS queued,
           EXISTS (SELECT 1 FROM prompts q WHERE q.project_id = p.id AND q.state IN ('sending', 'sent')) AS active,
           (SELECT json_array(sum(u.input_tokens), sum(u.output_tokens), sum(u.cost)) FROM usage u WHERE u.project_id = p.id) AS used
      FROM projects p WHERE p.deleted_at IS NULL
"""
_NAMES = (*PLAIN, "first", "queued", "active", "used")


def projects(where: str = "", values: tuple[Any, ...] = (), order: str = "") -> list[dict[str, Any]]:
    """Live projects with what is computed for every view of one.

    `where` and `order` are SQL of the caller's, with `?` for `values`, and name columns as ``p.…``. Beside the columns each has
    `first` ([message id, state] of its first prompt, or None), `queued` (prompts waiting), `active` (the agent has one) and `used`
    ([input tokens, output tokens, dollars], None where there is nothing to sum).
    """
    sql = f"{_PROJECT} {f'AND {where}' if where else ''} {order}"
    rows = [dict(zip(_NAMES, row, strict=True)) for row in database.execute_sql(sql, values).fetchall()]
    for row in rows:
        row["first"] = json.loads(row["first"]) if row["first"] else None
        row["used"] = json.loads(row["used"])
        row["stopped_by_user"] = bool(row["stopped_by_user"])
    return rows
