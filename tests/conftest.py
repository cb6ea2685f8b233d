"""What every test may use: a database of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import peewee
import pytest

from doce.db.connection import open_database

from . import engine as test_engine


@pytest.fixture
def db(tmp_path: Path) -> Iterator[peewee.SqliteDatabase]:
    """A fresh database with every table, bound to the models."""
    database = open_database(tmp_path / "data" / "db.sqlite")
    yield database
    database.close()


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker engine answers."""
    test_engine.ensure()
