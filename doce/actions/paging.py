"""Lists of what is in memory, in pages like all others: `limit`, a cursor, `next`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from pydantic import Field

from doce.actions.registry import Input
from doce.errors import BadRequest

Item = TypeVar("Item")


class Paging(Input):
    limit: int = Field(100, ge=1, le=1000, description="How many.")
    after: str | None = Field(None, max_length=300, description="Cursor: `next` of the page before.")


def cut(items: Sequence[Item], given: Paging, place: Callable[[Item], str]) -> tuple[list[Item], str | None]:
    """(the page, the cursor of the next). `place` names an item for good. Raises BadRequest for a cursor that is none."""
    start = 0
    if given.after is not None:
        known = [place(item) for item in items]
        if given.after not in known:
            raise BadRequest(
                "What this cursor stands on is no longer there.", hint="Begin with the first page again.", details={"field": "after"}
            )
        start = known.index(given.after) + 1
    page = list(items[start : start + given.limit])
    return page, place(page[-1]) if start + given.limit < len(items) else None
