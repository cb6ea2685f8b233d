"""What every test may use: a database of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import peewee
import pytest

from doce.db.connection import open_database


@pytest.fixture
def db(tmp_path: Path) -> Iterator[peewee.SqliteDatabase]:
    """A fresh database with every table, bound to the models."""
    database = open_database(tmp_path / "data" / "db.sqlite")
    yield database
    database.close()
