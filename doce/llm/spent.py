"""What a project has used: tokens and money, in all and by model, day and prompt."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from doce.db.connection import database

By = Literal["model", "day", "prompt", "project", "user"]

#: How each is told apart in SQL. Days are UTC; what no prompt asked for (a name, say) has none.
_KEYS: dict[By, str] = {
    "model": "provider || '/' || model",
    "day": "strftime('%Y-%m-%d', at / 1000, 'unixepoch')",
    "prompt": "coalesce(prompt_id, '')",
    "project": "project_id",
    "user": "coalesce(user_id, '')",
}
_SUMS = "count(*), sum(input_tokens), sum(output_tokens), sum(cached_tokens), sum(cost), max(estimated)"


@dataclass(frozen=True, slots=True)
class Spent:
    """A sum. `of` is the model, day (``2026-11-23``) or prompt; cost in US dollars; `estimated`: a provider did not say."""

    of: str
    calls: int = 0
    input: int = 0
    output: int = 0
    cached: int = 0
    cost: float = 0
    estimated: bool = False


def total(project_id: str) -> Spent:
    """Everything a project has used."""
    row = database.execute_sql(f"SELECT {_SUMS} FROM usage WHERE project_id = ?", (project_id,)).fetchone()
    return _spent("", row) if row[0] else Spent("")


def by(what: By, project_id: str, limit: int = 100) -> list[Spent]:
    """Sums of a project, latest first."""
    sql = f"SELECT {_KEYS[what]}, {_SUMS} FROM usage WHERE project_id = ? GROUP BY 1 ORDER BY max(id) DESC LIMIT ?"
    return [_spent(row[0], row[1:]) for row in database.execute_sql(sql, (project_id, limit)).fetchall()]


def page(
    what: By,
    *,
    project_id: str | None = None,
    mine: tuple[str, Collection[str]] | None = None,
    since: int | None = None,
    until: int | None = None,
    limit: int = 100,
    before: int | None = None,
) -> list[tuple[int, Spent]]:
    """(cursor, sum), latest first; `mine`: only what this user asked for or what these projects used. Times are epoch ms."""
    wheres: dict[str, tuple[object, ...]] = {}
    if project_id is not None:
        wheres["project_id = ?"] = (project_id,)
    if mine is not None:
        wheres[f"(user_id = ? OR project_id IN ({', '.join('?' * len(mine[1]))}))"] = (mine[0], *mine[1])
    if since is not None:
        wheres["at >= ?"] = (since,)
    if until is not None:
        wheres["at < ?"] = (until,)
    having = "HAVING max(id) < ?" if before is not None else ""
    sql = (
        f"SELECT max(id), {_KEYS[what]}, {_SUMS} FROM usage WHERE {' AND '.join(wheres) or '1'} GROUP BY 2 {having} ORDER BY 1 DESC LIMIT ?"
    )
    values = [value for group in wheres.values() for value in group]
    rows = database.execute_sql(sql, (*values, *([before] if before is not None else []), limit)).fetchall()
    return [(int(row[0]), _spent(row[1], row[2:])) for row in rows]


def _spent(of: str, row: tuple[int, int, int, int, float, int]) -> Spent:
    calls, used, made, cached, cost, estimated = row
    return Spent(of, calls, used, made, cached, cost, bool(estimated))
