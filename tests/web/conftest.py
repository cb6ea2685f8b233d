from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import peewee
import pytest

from .house import House, served


@pytest.fixture
def house(db: peewee.SqliteDatabase, tmp_path: Path) -> Iterator[House]:
    with served(tmp_path, slow_viewer_s=0.3, keepalive_s=0.2) as made:
        yield made
