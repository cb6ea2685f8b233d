from __future__ import annotations

from pathlib import Path

import peewee
import pytest

from .scene import Scene


@pytest.fixture
def scene(db: peewee.SqliteDatabase, tmp_path: Path) -> Scene:
    db.execute_sql("PRAGMA foreign_keys = OFF")
    return Scene(tmp_path)
