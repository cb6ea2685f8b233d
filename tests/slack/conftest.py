from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.conftest import cache as cache

from .house import Office, office


@pytest.fixture(scope="module", params=["socket"])
def acme(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[Office]:
    """One office for the tests of a module; each makes threads of its own."""
    with office(tmp_path_factory.mktemp("acme") / "data", cache, http=request.param == "http", DOCE_MAX_RUNNING="30") as made:
        yield made
