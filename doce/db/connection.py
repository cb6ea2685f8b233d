"""The SQLite connection: one file, one connection a thread, writers take the lock up front.

`database` is what the models are bound to; `open_database` points it at a file. A second connection with the same
file and other durability (the event writer's) comes from `connect`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import peewee

from doce.db import migration

#: The database every model of `doce.db.models` is bound to.
database = peewee.DatabaseProxy()

BUSY_TIMEOUT_S = 10


def connect(path: Path, synchronous: Literal["FULL", "NORMAL"] = "FULL") -> peewee.SqliteDatabase:
    """A lazily opened database on `path`.

    FULL survives a power cut, NORMAL (in WAL mode) survives kill -9 but may lose the last commits to a power cut.
    IMMEDIATE: a deferred transaction that writes late fails at once with "database is locked", whatever the time-out.
    """
    return peewee.SqliteDatabase(
        str(path),
        pragmas={"journal_mode": "wal", "synchronous": synchronous, "foreign_keys": 1, "cache_size": -4000, "wal_autocheckpoint": 1000},
        timeout=BUSY_TIMEOUT_S,
        lock_type="IMMEDIATE",
    )


def open_database(path: Path) -> peewee.SqliteDatabase:
    """Bind the models to `path`, made if absent, and bring its tables up to date."""
    path.parent.mkdir(parents=True, exist_ok=True)
    db = connect(path)
    path.touch(mode=0o600, exist_ok=True)
    with db.connection_context():
        migration.apply(db)
    database.initialize(db)
    return db
