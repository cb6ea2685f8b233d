from __future__ import annotations

import threading

import peewee
import pytest

from doce.db import setting
from doce.errors import Unavailable
from doce.queue import jobs
from doce.queue.enqueue import enqueue
from doce.queue.types import OpencodeSessionCreate


def fill(db: peewee.SqliteDatabase) -> None:
    """From now on SQLite finds no page more, as on a full disk."""
    pages = db.execute_sql("PRAGMA page_count").fetchone()[0]
    db.execute_sql(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_is_one_clear_error_keeps_what_was_there_and_is_over_when_there_is_space(db: peewee.SqliteDatabase) -> None:
    setting.put("kept", "before")
    fill(db)
    with pytest.raises(Unavailable, match="full") as caught, db.atomic():
        for number in range(10_000):
            enqueue(OpencodeSessionCreate(project_id=f"prj_{number}"))
    assert "Free space" in (caught.value.hint or "")
    assert sum(jobs.counts().values()) == 0
    assert setting.get("kept") == "before"
    db.execute_sql("PRAGMA max_page_count = 1000000")
    assert not enqueue(OpencodeSessionCreate(project_id="prj_1")).existing


def test_the_next_writer_does_not_wait_for_one_that_found_the_disk_full(db: peewee.SqliteDatabase) -> None:
    fill(db)
    with pytest.raises(Unavailable):
        setting.put("large", "x" * 1_000_000)
    other = threading.Thread(target=lambda: (setting.put("small", 1), db.close()))
    other.start()
    other.join(5)
    assert not other.is_alive()
    assert setting.get("small") == 1
