"""Numbered migrations: each ``mNNNN_name.py`` in ``migrations/`` has ``up(db)``; applied names are kept in a table.

The whole run is one IMMEDIATE transaction, so that two processes starting at once apply each of them once, and a
migration that fails leaves the tables as they were. (playhouse.migrations commits one by one and takes no lock.)
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import cast

import peewee

from doce.db import migrations


def names() -> list[str]:
    """Every migration there is, in order."""
    return sorted(module.name for module in pkgutil.iter_modules(migrations.__path__))


def apply(db: peewee.SqliteDatabase) -> list[str]:
    """Apply what is missing; returns the names applied."""
    with db.atomic("IMMEDIATE"):
        db.execute_sql("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, at INTEGER NOT NULL)")
        done = {row[0] for row in db.execute_sql("SELECT name FROM migrations").fetchall()}
        missing = [name for name in names() if name not in done]
        for name in missing:
            _up(name)(db)
            db.execute_sql("INSERT INTO migrations (name, at) VALUES (?, unixepoch() * 1000)", (name,))
    return missing


def _up(name: str) -> Callable[[peewee.SqliteDatabase], None]:
    module = importlib.import_module(f"{migrations.__name__}.{name}")
    return cast("Callable[[peewee.SqliteDatabase], None]", module.up)
