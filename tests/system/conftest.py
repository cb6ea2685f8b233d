from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from doce.errors import DoceError
from doce.settings import load, machine_path
from doce.toolchain import Toolchain

from .house import House, house


@pytest.fixture(scope="session")
def cache() -> Path:
    """The person's own cache of tools, filled if it is not."""
    folder = load().cache
    try:
        Toolchain(folder, path=machine_path()).ensure("git", "node", "opencode")
    except DoceError as error:
        pytest.skip(f"no real OpenCode here: {error}")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[House]:
    """One doce for the tests of a module."""
    with house(tmp_path_factory.mktemp("doce") / "data", cache) as made:
        yield made
