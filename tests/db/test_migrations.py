from __future__ import annotations

import multiprocessing
import shutil
from pathlib import Path

import peewee
import pytest

from doce.db import leases, migration, models
from doce.db.connection import connect, open_database
from doce.db.ids import new_id


def test_models_and_migrations_agree(db: peewee.SqliteDatabase) -> None:
    for model in models.Row.__subclasses__():
        columns = {row[1] for row in db.execute_sql(f"PRAGMA table_info({model._meta.table_name})").fetchall()}
        assert columns == set(model._meta.columns), model.__name__


def test_every_table_has_a_model(db: peewee.SqliteDatabase) -> None:
    tables = {row[0] for row in db.execute_sql("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")}
    # `jobs` settings and the like are read by SQL; every table is still declared, so that its columns are written down once.
    assert tables - {model._meta.table_name for model in models.Row.__subclasses__()} <= {"migrations"}


def test_a_copy_of_an_older_database_is_brought_up_to_date(tmp_path: Path) -> None:
    """Each migration is tried on what the ones before it made."""
    names = migration.names()
    for count in range(1, len(names) + 1):
        db = connect(tmp_path / f"{count}.sqlite")
        db.execute_sql("CREATE TABLE migrations (name TEXT PRIMARY KEY, at INTEGER NOT NULL)")
        for name in names[:count]:
            with db.atomic():
                migration._up(name)(db)
                db.execute_sql("INSERT INTO migrations VALUES (?, 0)", (name,))
        db.close()
        copy = tmp_path / f"{count}.copy.sqlite"
        shutil.copy(tmp_path / f"{count}.sqlite", copy)
        opened = connect(copy)
        assert migration.apply(opened) == names[count:]
        opened.close()


def _open(path: Path) -> None:
    open_database(path).close()


def test_two_processes_at_once_apply_each_migration_once(tmp_path: Path) -> None:
    path = tmp_path / "db.sqlite"
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_open, args=(path,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0, 0]


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(db: peewee.SqliteDatabase) -> None:
        db.execute_sql("CREATE TABLE half (id INTEGER)")
        raise RuntimeError("no")

    db = connect(tmp_path / "db.sqlite")
    monkeypatch.setattr(migration, "names", lambda: ["m0001_initial"])
    monkeypatch.setattr(migration, "_up", lambda name: broken)
    with pytest.raises(RuntimeError):
        migration.apply(db)
    assert "half" not in db.get_tables()
    assert "migrations" not in db.get_tables()
    db.close()


def test_the_database_is_only_ours_to_read(tmp_path: Path) -> None:
    open_database(tmp_path / "db.sqlite").close()
    assert (tmp_path / "db.sqlite").stat().st_mode & 0o077 == 0


def test_ids_sort_by_age_and_do_not_meet() -> None:
    ids = [new_id("x") for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert [one[:10] for one in ids] == sorted(one[:10] for one in ids)


def test_one_holder_at_a_time(db: peewee.SqliteDatabase) -> None:
    assert leases.hold("relay", "a", now_ms=0, ttl_ms=10)
    assert leases.hold("relay", "a", now_ms=5, ttl_ms=10)
    assert not leases.hold("relay", "b", now_ms=14, ttl_ms=10)
    assert leases.holder("relay", now_ms=14) == "a"
    assert leases.hold("relay", "b", now_ms=15, ttl_ms=10)
    leases.release("relay", "a")
    assert leases.holder("relay", now_ms=16) == "b"
    leases.take_over("relay", "c", now_ms=16, ttl_ms=10)
    assert leases.holder("relay", now_ms=17) == "c"
