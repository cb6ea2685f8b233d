"""The SQLite connection: one file, one connection a thread, writers take the lock up front.

`database` is what the models are bound to; `open_database` points it at a file. A second connection with the same
file and other durability (the event writer's) comes from `connect`.
"""

from __future__ import annotations

import collections
import sqlite3
import threading
from pathlib import Path
from typing import Any, Literal

import peewee

from doce.db import migration
from doce.errors import Unavailable

#: The database every model of `doce.db.models` is bound to.
database = peewee.DatabaseProxy()

BUSY_TIMEOUT_S = 10


#: One lock a file: the writers of this process stand in line here.
_gates: collections.defaultdict[str, threading.Lock] = collections.defaultdict(threading.Lock)


class _Connection(sqlite3.Connection):
    """One thread's connection. A thread that ends leaves it to the garbage collector, which is no mistake to warn of."""

    def __del__(self) -> None:
        self.close()


class Database(peewee.SqliteDatabase):
    """SQLite whose writers of one process wait for each other on a lock.

    SQLite's own way of waiting is to sleep for 1, 2, 5 … 100 ms and look again; with a handful of threads that write, the
    sleeps and not the disk decide how long an enqueue takes. Other processes still meet at SQLite's lock.
    """

    def __init__(self, database: str, **options: Any) -> None:
        super().__init__(database, **options)
        self._gate = _gates[database]
        self._inside = threading.local()

    def begin(self, lock_type: str | None = None) -> None:
        if not self._gate.acquire(timeout=BUSY_TIMEOUT_S):
            raise peewee.OperationalError("database is locked")
        self._inside.it = True
        try:
            super().begin(lock_type)
        except BaseException:
            self._leave()
            raise

    def commit(self) -> None:
        # A commit that fails is followed by a rollback, which leaves.
        with _explained:
            super().commit()
        self._leave()

    def rollback(self) -> None:
        try:
            # With the disk full SQLite has rolled back by itself; a second time would hide why.
            if not self.is_closed() and self.connection().in_transaction:  # type: ignore[no-untyped-call]
                super().rollback()
        finally:
            self._leave()

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Raises Unavailable when the disk, and not the statement, is what is wrong."""
        with _explained:
            return super().execute_sql(sql, params)  # type: ignore[no-untyped-call]

    def _leave(self) -> None:
        if getattr(self._inside, "it", False):
            self._inside.it = False
            self._gate.release()


#: What SQLite says when the disk is what is wrong.
_DISK = ("database or disk is full", "disk I/O error", "readonly database", "unable to open database file")


class _Explained:
    """Turns a refusal of the disk into Unavailable. A class, for it surrounds every statement: a generator costs three times as much."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, peewee.OperationalError) and any(words in str(error) for words in _DISK):
            raise Unavailable(
                f"doce's database cannot be written: {error}. What was saved before is safe; this was not saved.",
                hint="Free space on the disk of doce's data folder, then try again; `doce doctor` says how much there is.",
            ) from error


_explained = _Explained()


def connect(path: Path, synchronous: Literal["FULL", "NORMAL"] = "FULL") -> Database:
    """A lazily opened database on `path`.

    FULL survives a power cut, NORMAL (in WAL mode) survives kill -9 but may lose the last commits to a power cut.
    IMMEDIATE: a deferred transaction that writes late fails at once with "database is locked", whatever the time-out.
    """
    return Database(
        str(path),
        pragmas={"journal_mode": "wal", "synchronous": synchronous, "foreign_keys": 1, "cache_size": -4000, "wal_autocheckpoint": 1000},
        timeout=BUSY_TIMEOUT_S,
        lock_type="IMMEDIATE",
        factory=_Connection,
        check_same_thread=False,
    )


def open_database(path: Path) -> Database:
    """Bind the models to `path`, made if absent, and bring its tables up to date."""
    path.parent.mkdir(parents=True, exist_ok=True)
    db = connect(path)
    path.touch(mode=0o600, exist_ok=True)
    with db.connection_context():
        migration.apply(db)
    database.initialize(db)
    return db
