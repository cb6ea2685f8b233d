from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.client.doce_twin import DoceTwin, doce_twin


@pytest.fixture
def twin() -> Iterator[DoceTwin]:
    with doce_twin() as running:
        yield running
