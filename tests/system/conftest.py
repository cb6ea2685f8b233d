from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from doce.docker.engine import Engine
from doce.docker.images import Images
from doce.docker.leftovers import remove_all
from doce.errors import DoceError
from doce.settings import Settings, load, machine_path
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


@pytest.fixture(scope="session")
def images(engine: None, cache: Path) -> None:
    """doce's own images are there; built from nothing that takes a minute."""
    settings = Settings(cache=cache)
    with contextlib.closing(Engine()) as connection:
        found = Images(settings, connection, Toolchain(cache, path=machine_path()))
        for name in found.names:
            found.ensure(name, lambda line: None)


@contextlib.contextmanager
def docked(folder: Path, cache: Path, **settings: str) -> Iterator[House]:
    try:
        with house(folder, cache, DOCE_RUNTIME="docker", **settings) as made:
            yield made
    finally:
        with contextlib.closing(Engine()) as engine:
            remove_all(engine, folder)
