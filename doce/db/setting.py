"""Values that this doce remembers about itself, as JSON in `instance_settings`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from doce.db.connection import database


def get(key: str) -> Any:
    """The value of `key`, None when it was never put."""
    row = database.execute_sql("SELECT value FROM instance_settings WHERE key = ?", (key,)).fetchone()
    return json.loads(row[0]) if row else None


def put(key: str, value: Any) -> None:
    """Remember `value`; joins the caller's transaction."""
    with database.atomic():
        sql = "INSERT INTO instance_settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        database.execute_sql(sql, (key, json.dumps(value)))


def keep(key: str, make: Callable[[], Any]) -> Any:
    """The value of `key`, made once for good: of two processes that ask at once, both get the same."""
    with database.atomic():
        found = get(key)
        if found is None:
            found = make()
            put(key, found)
        return found
