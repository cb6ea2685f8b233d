"""What every test may use: a database of its own."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import peewee
import pytest

from doce.db.connection import open_database

from . import engine as test_engine

if TYPE_CHECKING:
    from playwright.sync_api import Browser


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As of what a shell put in the background: programs that tests start would never hear of their Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium. Playwright keeps a loop running in this thread for it, which nobody else can use: gone with the module."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("NOT TESTED: there is no Chromium here (apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield made
        made.close()
